export type { SqliteDatabaseLike, SqliteStatementLike } from './sqlite-client.ts'
export { sqliteDialect } from './sqlite-dialect.ts'
export { type SqliteOptions, sqlite } from './sqlite-store.ts'
