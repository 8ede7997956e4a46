import { createHash } from 'node:crypto'
import { orAbort } from '../../core/abort.ts'
import { ConfigError, UnsupportedError } from '../../core/errors.ts'
import { checkOptions } from '../../core/options.ts'
import { createStore, STORE_OPTION_NAMES, type StoreOptions } from '../create-store.ts'
import type { Isolation } from '../dialect.ts'
import type {
  BeginOptions,
  Engine,
  LockRequest,
  Session,
  Statement,
  StatementResult,
  Statements,
} from '../engine.ts'
import {
  LockTimeoutError,
  RowLockedError,
  StoreUnavailableError,
  TransactionAbortedError,
} from '../errors.ts'
import { drizzleClient, isKysely, noTransaction, runOnKysely } from '../join.ts'
import { compileSql, type SqlValue, sql } from '../sql.ts'
import type { Store } from '../store.ts'
import type { Row } from '../transaction.ts'
import type { PgClientLike, PgPoolLike, PgResultLike } from './postgres-client.ts'
import { postgresDialect } from './postgres-dialect.ts'
import { type Phase, translatePostgresError } from './postgres-errors.ts'

export interface PostgresOptions extends StoreOptions {
  /**
   * Prepares Holdfast's own statements by name on each connection. Default true. Set false behind a
   * transaction-pooling proxy that does not keep prepared statements.
   */
  readonly prepare?: boolean
}

/**
 * A store on PostgreSQL, over the application's own `pg.Pool`. The pool stays the application's: `close` leaves it open.
 * @throws ConfigError for unknown options
 */
export function postgres(pool: PgPoolLike, options: PostgresOptions = {}): Store {
  checkOptions(
    'postgres',
    options,
    [...STORE_OPTION_NAMES, 'prepare'],
    [typeof pool?.connect === 'function' || 'the first argument must be a pg.Pool'],
  )
  return createStore(
    new PostgresEngine(pool, options.prefix ?? 'holdfast_', options.prepare ?? true),
    options,
  )
}

class PostgresEngine implements Engine {
  readonly dialect = postgresDialect
  readonly #pool: PgPoolLike
  readonly #prefix: string
  readonly #prepare: boolean

  constructor(pool: PgPoolLike, prefix: string, prepare: boolean) {
    this.#pool = pool
    this.#prefix = prefix
    this.#prepare = prepare
    // An idle connection that breaks makes the pool emit 'error', which ends the process when nobody listens.
    if (pool.listenerCount?.('error') === 0) pool.on?.('error', () => {})
  }

  async begin(options: BeginOptions): Promise<Session> {
    const client = await this.#connect(options.signal)
    const session = new PostgresSession(client, this.#pool, this.#prefix, this.#prepare)
    try {
      await orAbort(session.send(beginText(options), 'connect'), options.signal)
    } catch (error) {
      client.release(true)
      throw error
    }
    return session
  }

  adopt(handle: unknown): Statements {
    if (isKysely(handle)) {
      if (!handle.isTransaction) throw noTransaction('Kysely')
      return new PostgresStatements(this.#prefix, false, async ({ text, values }) => {
        const { rows, changes } = await runOnKysely(handle, text, values)
        return { rows, rowCount: changes, command: '' }
      })
    }
    const client = (drizzleClient(handle) ?? handle) as PgClientLike
    if (typeof client?.query !== 'function') {
      throw new ConfigError('join', [
        'the handle is neither a pg client nor a transaction of Kysely or Drizzle',
      ])
    }
    if (isPool(client) || client.getTransactionStatus?.() === 'I') throw noTransaction('pg')
    return new PostgresStatements(this.#prefix, this.#prepare, (config) => client.query(config))
  }

  adoptSync(): never {
    throw new UnsupportedError('pg has no synchronous transactions; use join')
  }

  async close(): Promise<void> {}

  async #connect(signal: AbortSignal): Promise<PgClientLike> {
    const connecting = this.#pool.connect()
    try {
      const client = await orAbort(connecting, signal)
      quiet(client)
      return client
    } catch (error) {
      // Aborted while waiting: give back the connection that still arrives.
      connecting.then(
        (client) => client.release(),
        () => {},
      )
      throw error === signal.reason ? error : translatePostgresError(error, 'connect', this.#prefix)
    }
  }
}

type PgQuery = (config: { name?: string; text: string; values: readonly SqlValue[] }) => Promise<PgResultLike>

class PostgresStatements implements Statements {
  readonly #prefix: string
  readonly #prepare: boolean
  readonly #query: PgQuery

  constructor(prefix: string, prepare: boolean, query: PgQuery) {
    this.#prefix = prefix
    this.#prepare = prepare
    this.#query = query
  }

  async run({ text, values, prepare }: Statement): Promise<StatementResult> {
    try {
      const name = prepare && this.#prepare ? statementName(text) : undefined
      const result = await this.#query(name === undefined ? { text, values } : { name, text, values })
      return { rows: result.rows as Row[], changes: result.rowCount ?? 0 }
    } catch (error) {
      throw this.translate(error, 'statement')
    }
  }

  async lockRows(request: LockRequest): Promise<Row[]> {
    const { wait } = request
    const deadline = typeof wait === 'object' ? wait.waitMs : undefined
    const before =
      deadline === undefined ? undefined : await this.#setStatementTimeout(`${Math.ceil(deadline)}ms`)
    let rows: Row[]
    try {
      rows = (await this.run({ ...compileSql(lockStatement(request), postgresDialect), prepare: false })).rows
    } catch (error) {
      throw lockError(error, request, deadline)
    }
    if (before !== undefined) await this.#setStatementTimeout(before)
    return rows
  }

  protected translate(error: unknown, phase: Phase): unknown {
    return translatePostgresError(error, phase, this.#prefix)
  }

  /**
   * `lock_timeout` counts anew for each row that is waited for; `statement_timeout` is one deadline for all of them.
   * Both ends of the change are local to the transaction.
   */
  async #setStatementTimeout(value: string): Promise<string> {
    const { rows } = await this.run({
      text: "select current_setting('statement_timeout') as before, set_config('statement_timeout', $1, true)",
      values: [value],
      prepare: true,
    })
    return String(rows[0]?.before)
  }
}

class PostgresSession extends PostgresStatements implements Session {
  readonly #client: PgClientLike
  readonly #pool: PgPoolLike

  constructor(client: PgClientLike, pool: PgPoolLike, prefix: string, prepare: boolean) {
    super(prefix, prepare, (config) => client.query(config))
    this.#client = client
    this.#pool = pool
  }

  async send(text: string, phase: Phase): Promise<string> {
    try {
      const result = await this.#client.query(text)
      // Several statements in one text give several results.
      return Array.isArray(result) ? '' : result.command
    } catch (error) {
      throw this.translate(error, phase)
    }
  }

  async commit(): Promise<void> {
    let command: string
    try {
      command = await this.send('commit', 'commit')
    } catch (error) {
      if ((error as { code?: string }).code !== undefined) throw error
      throw new StoreUnavailableError('the driver failed while COMMIT was under way', 'unknown', {
        cause: error,
      })
    }
    // After a failed statement PostgreSQL answers COMMIT with ROLLBACK, without an error.
    if (command === 'ROLLBACK') throw new TransactionAbortedError()
  }

  async rollback(): Promise<void> {
    await this.send('rollback', 'statement')
  }

  cancel(): void {
    const { processID } = this.#client
    if (processID === undefined || this.#pool.Client === undefined) return
    // A connection of its own, since the pool may have none left; pg sends a cancel request for the running query.
    const canceller = new this.#pool.Client(this.#pool.options)
    const ended = (): unknown => canceller.end().catch(() => {})
    canceller.on('error', () => {})
    canceller
      .connect()
      .then(() => canceller.query('select pg_cancel_backend($1)', [processID]))
      .then(ended, ended)
  }

  release(broken: boolean): void {
    this.#client.release(broken)
  }
}

function beginText({ isolation, readOnly }: BeginOptions): string {
  return `begin${isolation ? ISOLATION[isolation] : ''}${readOnly ? ' read only' : ''}`
}

const ISOLATION: Readonly<Record<Isolation, string>> = {
  'read-committed': ' isolation level read committed',
  'repeatable-read': ' isolation level repeatable read',
  serializable: ' isolation level serializable',
}

function lockStatement({ from, where, orderBy, limit, strength, wait }: LockRequest): ReturnType<typeof sql> {
  const tail = [
    orderBy && sql` order by ${orderBy}`,
    limit !== undefined && sql` limit ${limit}`,
    sql.raw(` for ${strength.replaceAll('-', ' ')}`),
    wait === 'nowait' && sql.raw(' nowait'),
    wait === 'skip-locked' && sql.raw(' skip locked'),
  ].filter((part) => part instanceof Object)
  return sql`select * from ${from} where ${where}${sql.join(tail, '')}`
}

function lockError(error: unknown, { table, wait }: LockRequest, waitMs: number | undefined): unknown {
  const { code, cause } = error as { code?: string; cause?: unknown }
  if (code === 'LOCK_TIMEOUT' && wait === 'nowait')
    return new RowLockedError(`a row of "${table}"`, { cause })
  if (code === 'TRANSACTION_TIMEOUT' && waitMs !== undefined) {
    return new LockTimeoutError(`the lock on rows of "${table}"`, waitMs, { cause })
  }
  return error
}

/**
 * pg refuses one name with two texts, so the name follows from the text alone, also across copies of this package.
 * Texts past the bound go unprepared, since each name costs the server memory on every connection.
 */
const names = new Map<string, string>()
const NAMES_MAX = 1000

function statementName(text: string): string | undefined {
  let name = names.get(text)
  if (name === undefined) {
    if (names.size >= NAMES_MAX) return undefined
    name = `holdfast_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`
    names.set(text, name)
  }
  return name
}

/** A connection that breaks while it is checked out emits 'error', which ends the process when nobody listens. */
const listened = new WeakSet<object>()

function quiet(client: PgClientLike): void {
  if (listened.has(client)) return
  listened.add(client)
  client.on('error', () => {})
}

function isPool(handle: object): boolean {
  return 'totalCount' in handle
}
