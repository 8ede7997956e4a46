import { ConfigError } from '../../core/errors.ts'
import type { LockRequest, Statement, StatementResult, Statements, SyncStatements } from '../engine.ts'
import { drizzleClient, isKysely, noTransaction, runOnKysely } from '../join.ts'
import type { Row } from '../transaction.ts'
import { inTransaction, type SqliteDatabaseLike } from './sqlite-client.ts'
import { SqliteConnection, toSqlite } from './sqlite-connection.ts'
import { translateSqliteError } from './sqlite-errors.ts'
import { toLockStatement } from './sqlite-lock.ts'

/** The open transaction of a driver's handle, of Kysely or of Drizzle. */
export function adoptSqlite(handle: unknown, prefix: string): Statements {
  if (isKysely(handle)) {
    if (!handle.isTransaction) throw noTransaction('Kysely')
    return new JoinedKysely(handle, prefix)
  }
  return new JoinedHandle(adoptHandle(handle, prefix))
}

export function adoptSqliteSync(handle: unknown, prefix: string): SyncStatements {
  const connection = adoptHandle(handle, prefix)
  return { runSync: (statement) => connection.run(statement) }
}

function adoptHandle(handle: unknown, prefix: string): SqliteConnection {
  const db = (drizzleClient(handle) ?? handle) as SqliteDatabaseLike
  if (typeof db?.prepare !== 'function' || typeof db.exec !== 'function') {
    throw new ConfigError('join', [
      'the handle is neither an SQLite connection nor a transaction of Kysely or Drizzle',
    ])
  }
  if (!inTransaction(db)) throw noTransaction('SQLite')
  return new SqliteConnection(db, prefix)
}

class JoinedHandle implements Statements {
  readonly #connection: SqliteConnection

  constructor(connection: SqliteConnection) {
    this.#connection = connection
  }

  async run(statement: Statement): Promise<StatementResult> {
    return this.#connection.run(statement)
  }

  async lockRows(request: LockRequest): Promise<Row[]> {
    return (await this.run(toLockStatement(request))).rows
  }
}

class JoinedKysely implements Statements {
  readonly #transaction: Parameters<typeof runOnKysely>[0]
  readonly #prefix: string

  constructor(transaction: Parameters<typeof runOnKysely>[0], prefix: string) {
    this.#transaction = transaction
    this.#prefix = prefix
  }

  async run({ text, values }: Statement): Promise<StatementResult> {
    try {
      const { rows, changes } = await runOnKysely(this.#transaction, text, values.map(toSqlite))
      return { rows: rows as Row[], changes }
    } catch (error) {
      throw translateSqliteError(error, this.#prefix)
    }
  }

  async lockRows(request: LockRequest): Promise<Row[]> {
    return (await this.run(toLockStatement(request))).rows
  }
}
