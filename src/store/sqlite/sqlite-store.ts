import { throwIfAborted } from '../../core/abort.ts'
import { type Clock, systemClock } from '../../core/clock.ts'
import { ConfigError, UnsupportedError } from '../../core/errors.ts'
import { checkOptions, isCount, isDuration } from '../../core/options.ts'
import { createStore, type StoreOptions } from '../create-store.ts'
import type {
  BeginOptions,
  Engine,
  LockRequest,
  Session,
  Statement,
  StatementResult,
  Statements,
  SyncStatements,
} from '../engine.ts'
import { LockTimeoutError, RowLockedError, StoreBusyError, StoreUnavailableError } from '../errors.ts'
import { drizzleClient, isKysely, noTransaction, runOnKysely } from '../join.ts'
import { compileSql, sql } from '../sql.ts'
import type { Store } from '../store.ts'
import type { Row } from '../transaction.ts'
import { inTransaction, type SqliteDatabaseLike } from './sqlite-client.ts'
import { SqliteConnection } from './sqlite-connection.ts'
import { sqliteDialect } from './sqlite-dialect.ts'
import { isBusy, translateSqliteError } from './sqlite-errors.ts'
import { Turnstile } from './turnstile.ts'

export interface SqliteOptions extends Omit<StoreOptions, 'schema'> {
  /** Opens one more connection to the file, of `node:sqlite`, `libsql` or `better-sqlite3`. Called again after a failure. */
  readonly open: () => SqliteDatabaseLike
  /**
   * How long a writer waits for a writer of another process before StoreBusyError. Default 5 000. Waiting never blocks
   * the event loop.
   */
  readonly busyWaitMs?: number
  /** Connections kept for read-only transactions. Default 4. */
  readonly readersMax?: number
  /**
   * `full` (the default) makes each commit survive a power loss. With `normal`, power loss may undo the last commits,
   * whose messages may already be out; a killed process loses nothing either way.
   */
  readonly synchronous?: 'full' | 'normal'
}

/**
 * A store on one SQLite file, safe across processes. Writers of this process queue in memory in order of arrival.
 * @throws ConfigError for unknown options
 */
export function sqlite(options: SqliteOptions): Store {
  const { open, busyWaitMs = 5_000, readersMax = 4, synchronous = 'full', prefix, clock } = options
  checkOptions(
    'sqlite',
    options,
    ['prefix', 'clock', 'open', 'busyWaitMs', 'readersMax', 'synchronous'],
    [
      typeof open === 'function' || 'open must be a function that opens a connection',
      isDuration('busyWaitMs', busyWaitMs),
      isCount('readersMax', readersMax, 1, 64),
      ['full', 'normal'].includes(synchronous) || `synchronous must be full or normal, got ${synchronous}`,
    ],
  )
  const engine = new SqliteEngine(
    { open, busyWaitMs, readersMax, synchronous },
    prefix ?? 'holdfast_',
    clock ?? systemClock,
  )
  return createStore(engine, options)
}

class SqliteEngine implements Engine {
  readonly dialect = sqliteDialect
  readonly options: Required<Pick<SqliteOptions, 'open' | 'busyWaitMs' | 'readersMax' | 'synchronous'>>
  readonly prefix: string
  readonly clock: Clock
  readonly writers = new Turnstile()
  #writer: SqliteConnection | undefined
  readonly #idleReaders: SqliteConnection[] = []
  #inMemory = false
  #closed = false

  constructor(options: SqliteEngine['options'], prefix: string, clock: Clock) {
    this.options = options
    this.prefix = prefix
    this.clock = clock
  }

  async begin(options: BeginOptions): Promise<Session> {
    throwIfAborted(options.signal)
    if (this.#closed) throw new StoreUnavailableError('the store is closed', 'not-applied')
    return new SqliteSession(this, options)
  }

  adopt(handle: unknown): Statements {
    if (isKysely(handle)) {
      if (!handle.isTransaction) throw noTransaction('Kysely')
      return new JoinedKysely(handle, this.prefix)
    }
    return new JoinedHandle(this.#adoptHandle(handle))
  }

  adoptSync(handle: unknown): SyncStatements {
    const connection = this.#adoptHandle(handle)
    return { runSync: (statement) => connection.run(statement) }
  }

  #adoptHandle(handle: unknown): SqliteConnection {
    const db = (drizzleClient(handle) ?? handle) as SqliteDatabaseLike
    if (typeof db?.prepare !== 'function' || typeof db.exec !== 'function') {
      throw new ConfigError('join', [
        'the handle is neither an SQLite connection nor a transaction of Kysely or Drizzle',
      ])
    }
    if (!inTransaction(db)) throw noTransaction('SQLite')
    return new SqliteConnection(db, this.prefix)
  }

  writer(): SqliteConnection {
    this.#writer ??= this.#open()
    return this.#writer
  }

  /** A connection for one read-only transaction. An in-memory database has one connection, so its readers queue too. */
  takeReader(): SqliteConnection | undefined {
    this.writer()
    if (this.#inMemory) return undefined
    const idle = this.#idleReaders.pop()
    if (idle !== undefined) return idle
    const reader = this.#open()
    reader.exec('pragma query_only = on')
    return reader
  }

  giveBackReader(reader: SqliteConnection, broken: boolean): void {
    if (!broken && !this.#closed && this.#idleReaders.length < this.options.readersMax)
      this.#idleReaders.push(reader)
    else reader.db.close()
  }

  dropWriter(): void {
    // An in-memory database lives as long as its connection.
    if (this.#inMemory) {
      if (this.#writer && inTransaction(this.#writer.db)) this.#writer.exec('rollback')
      return
    }
    const writer = this.#writer
    this.#writer = undefined
    try {
      // libsql's close leaves the file locked until its statements are collected.
      if (writer && inTransaction(writer.db)) writer.exec('rollback')
      writer?.db.close()
    } catch {
      // A handle that cannot even close is of no use; the next transaction opens another.
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const leave = await this.writers.enter(new AbortController().signal)
    for (const reader of this.#idleReaders.splice(0)) reader.db.close()
    this.#writer?.db.close()
    this.#writer = undefined
    leave()
  }

  #open(): SqliteConnection {
    try {
      const connection = new SqliteConnection(this.options.open(), this.prefix)
      // A driver's own waiting would freeze the event loop, and with it the holder that is being waited for.
      connection.exec('pragma busy_timeout = 0')
      retryBusyBriefly(() => connection.exec('pragma journal_mode = wal'))
      // On every connection: some drivers open later ones with NORMAL.
      connection.exec(`pragma synchronous = ${this.options.synchronous}`)
      const [main] = connection.run({ text: 'pragma database_list', values: [], prepare: false }).rows
      this.#inMemory = main?.file === ''
      return connection
    } catch (error) {
      throw translateSqliteError(error, this.prefix)
    }
  }
}

/** Switching the file to WAL needs it alone for an instant, once in its life; two processes may start together. */
function retryBusyBriefly(action: () => void): void {
  for (let tries = 1; ; tries++) {
    try {
      action()
      return
    } catch (error) {
      if (!isBusy(error) || tries >= 200) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}

/**
 * One transaction. BEGIN is put off to the first statement, so that work which has not touched the store yet does not
 * hold the file, and so that `nowait` can mean something: it must be that first statement.
 */
class SqliteSession implements Session {
  readonly #engine: SqliteEngine
  readonly #options: BeginOptions
  #connection: SqliteConnection | undefined
  #opening: Promise<SqliteConnection> | undefined
  #leave: (() => void) | undefined

  constructor(engine: SqliteEngine, options: BeginOptions) {
    this.#engine = engine
    this.#options = options
  }

  async run(statement: Statement): Promise<StatementResult> {
    const connection = this.#connection ?? (await this.#begin(this.#engine.options.busyWaitMs))
    return connection.run(statement)
  }

  async lockRows(request: LockRequest): Promise<Row[]> {
    refuseUnsupported(request)
    if (this.#options.readOnly) throw new UnsupportedError('a read-only transaction cannot lock rows')
    const { wait } = request
    if (this.#connection === undefined) {
      const waitMs =
        wait === 'nowait'
          ? 0
          : wait === 'block'
            ? this.#engine.options.busyWaitMs
            : (wait as { waitMs: number }).waitMs
      try {
        await this.#begin(waitMs)
      } catch (error) {
        if ((error as { code?: string }).code !== 'STORE_BUSY' || wait === 'block') throw error
        throw wait === 'nowait'
          ? new RowLockedError(`the SQLite file of "${request.table}"`, { cause: error })
          : new LockTimeoutError(`the SQLite file of "${request.table}"`, waitMs, { cause: error })
      }
    }
    return (await this.run(toLockStatement(request))).rows
  }

  async commit(): Promise<void> {
    if (this.#connection === undefined) return
    for (;;) {
      try {
        this.#connection.exec('commit')
        return
      } catch (error) {
        // Busy: the transaction is still open and COMMIT may be tried again.
        if (isBusy(error) && inTransaction(this.#connection.db) && !this.#options.signal.aborted) {
          await this.#engine.clock.sleep(1 + this.#engine.clock.random() * 5, this.#options.signal)
          continue
        }
        if (inTransaction(this.#connection.db)) {
          this.#connection.exec('rollback')
          throw translateSqliteError(error, this.#engine.prefix)
        }
        throw new StoreUnavailableError('SQLite met an error while COMMIT was under way', 'unknown', {
          cause: error,
        })
      }
    }
  }

  async rollback(): Promise<void> {
    // SQLite itself rolls back on some errors (disk full, I/O).
    if (this.#connection !== undefined && inTransaction(this.#connection.db))
      this.#connection.exec('rollback')
  }

  cancel(): void {
    // A statement of a synchronous driver is over before anything else can run.
  }

  release(broken: boolean): void {
    const connection = this.#connection
    this.#connection = undefined
    if (connection !== undefined) {
      if (this.#leave === undefined) this.#engine.giveBackReader(connection, broken)
      else if (broken) this.#engine.dropWriter()
    }
    this.#leave?.()
    this.#leave = undefined
    // Aborted while BEGIN was waiting: undo it when it still arrives.
    if (connection === undefined) {
      this.#opening?.then(
        async () => {
          await this.rollback()
          this.release(false)
        },
        () => {},
      )
    }
    this.#opening = undefined
  }

  /** Statements sent together share one BEGIN. */
  #begin(waitMs: number): Promise<SqliteConnection> {
    this.#opening ??= (this.#options.readOnly ? this.#beginRead() : this.#beginWrite(waitMs)).catch(
      (error: unknown) => {
        this.#opening = undefined
        throw error
      },
    )
    return this.#opening
  }

  async #beginRead(): Promise<SqliteConnection> {
    const reader = this.#engine.takeReader()
    if (reader === undefined) return this.#beginWrite(this.#engine.options.busyWaitMs)
    reader.exec('begin')
    this.#connection = reader
    return reader
  }

  /** BEGIN IMMEDIATE takes the write lock at once, so no later statement can meet SQLITE_BUSY_SNAPSHOT. */
  async #beginWrite(waitMs: number): Promise<SqliteConnection> {
    const { clock, writers } = this.#engine
    const { signal } = this.#options
    if (waitMs === 0 && !writers.idle)
      throw new StoreBusyError('another transaction of this process is writing')
    const deadline = clock.monotonic() + waitMs
    const leave = await this.#enterWithin(waitMs)
    try {
      const connection = this.#engine.writer()
      for (let tries = 1; ; tries++) {
        try {
          connection.exec('begin immediate')
          this.#leave = leave
          this.#connection = connection
          return connection
        } catch (error) {
          if (!isBusy(error)) throw translateSqliteError(error, this.#engine.prefix)
          if (clock.monotonic() >= deadline) {
            throw new StoreBusyError(`another process held the SQLite file for ${waitMs} ms`, {
              cause: error,
            })
          }
          // Short and random, so that processes which write in turn find each other's gaps.
          await clock.sleep(0.5 + clock.random() * Math.min(2 ** tries, 16), signal)
        }
      }
    } catch (error) {
      leave()
      throw error
    }
  }

  async #enterWithin(waitMs: number): Promise<() => void> {
    const { writers, clock } = this.#engine
    const { signal } = this.#options
    if (waitMs >= this.#engine.options.busyWaitMs || waitMs === 0) return writers.enter(signal)
    const timeout = new AbortController()
    const busy = new StoreBusyError(`a transaction of this process held the SQLite file for ${waitMs} ms`)
    const done = new AbortController()
    clock.sleep(waitMs, done.signal).then(
      () => timeout.abort(busy),
      () => {},
    )
    try {
      return await writers.enter(AbortSignal.any([signal, timeout.signal]))
    } finally {
      done.abort()
    }
  }
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
    refuseUnsupported(request)
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
      const { rows, changes } = await runOnKysely(this.#transaction, text, values)
      return { rows: rows as Row[], changes }
    } catch (error) {
      throw translateSqliteError(error, this.#prefix)
    }
  }

  async lockRows(request: LockRequest): Promise<Row[]> {
    refuseUnsupported(request)
    return (await this.run(toLockStatement(request))).rows
  }
}

function refuseUnsupported({ strength, wait }: LockRequest): void {
  if (strength !== 'update') {
    throw new UnsupportedError(
      `SQLite has no row locks of strength "${strength}"; it locks the whole file for update`,
    )
  }
  if (wait === 'skip-locked') {
    throw new UnsupportedError(
      'SQLite locks the whole file, so it has no rows to skip; use PostgreSQL for skip-locked',
    )
  }
}

function toLockStatement({ from, where, orderBy, limit }: LockRequest): Statement {
  const order = orderBy ? sql` order by ${orderBy}` : sql.raw('')
  const bound = limit === undefined ? sql.raw('') : sql` limit ${limit}`
  return {
    ...compileSql(sql`select * from ${from} where ${where}${order}${bound}`, sqliteDialect),
    prepare: true,
  }
}
