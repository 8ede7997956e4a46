export type { PgClientLike, PgPoolLike, PgResultLike } from './postgres-client.ts'
export { postgresDialect } from './postgres-dialect.ts'
export { type PostgresOptions, postgres } from './postgres-store.ts'
