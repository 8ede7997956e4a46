import type { Clock } from '../../core/clock.ts'
import { ConfigError, isHoldfastError } from '../../core/errors.ts'
import type { BeginOptions, Engine, Session, Statements, SyncStatements } from '../engine.ts'
import { StoreClosedError, StoreUnavailableError } from '../errors.ts'
import { Turnstile } from '../turnstile.ts'
import { inTransaction, type SqliteDatabaseLike } from './sqlite-client.ts'
import { SqliteConnection } from './sqlite-connection.ts'
import { sqliteDialect } from './sqlite-dialect.ts'
import { isBusy, translateSqliteError } from './sqlite-errors.ts'
import { adoptSqlite, adoptSqliteSync } from './sqlite-join.ts'
import { SqliteSession } from './sqlite-session.ts'

export interface EngineOptions {
  readonly open: () => SqliteDatabaseLike
  readonly busyWaitMs: number
  readonly readersMax: number
  readonly synchronous: 'full' | 'normal'
  readonly prefix: string
  readonly clock: Clock
}

/**
 * The connections to one file: one that writes, and a few that read.
 *
 * Nobody uses the writer without the place in `writers`, nor a reader without one in `readers`.
 */
export class SqliteEngine implements Engine {
  readonly dialect = sqliteDialect
  readonly options: EngineOptions
  readonly writers = new Turnstile()
  readonly readers: Turnstile
  #writer: SqliteConnection | undefined
  #opening: Promise<SqliteConnection> | undefined
  readonly #idleReaders: SqliteConnection[] = []
  #inMemory: boolean | undefined
  #closing: Promise<void> | undefined
  #closed = false

  constructor(options: EngineOptions) {
    this.options = options
    this.readers = new Turnstile(options.readersMax)
  }

  begin(options: BeginOptions): Session {
    if (this.#closing !== undefined) throw new StoreClosedError()
    return new SqliteSession(this, options)
  }

  get waiting(): number {
    return this.writers.waiting + this.readers.waiting
  }

  adopt(handle: unknown): Statements {
    return adoptSqlite(handle, this.options.prefix)
  }

  adoptSync(handle: unknown): SyncStatements {
    return adoptSqliteSync(handle, this.options.prefix)
  }

  /** The connection that writes, if it is open. */
  get openWriter(): SqliteConnection | undefined {
    return this.#closed ? undefined : this.#writer
  }

  /** The connection that writes, opened when it is first needed and after it was dropped; by one caller for all. */
  async writer(): Promise<SqliteConnection> {
    if (this.#closed) throw new StoreClosedError()
    if (this.#writer !== undefined) return this.#writer
    this.#opening ??= this.#openWriter()
    return this.#opening
  }

  /** True for a database in memory: it is its one connection's own, so that its readers queue with the writers. */
  async inMemory(): Promise<boolean> {
    if (this.#inMemory === undefined) {
      const [main] = (await this.writer()).run({
        text: 'pragma database_list',
        values: [],
        prepare: false,
      }).rows
      this.#inMemory = main?.file === ''
    }
    return this.#inMemory
  }

  async takeReader(): Promise<SqliteConnection> {
    if (this.#closed) throw new StoreClosedError()
    const idle = this.#idleReaders.pop()
    if (idle !== undefined) return idle
    const reader = await this.#open()
    reader.exec('pragma query_only = on')
    return reader
  }

  giveBackReader(reader: SqliteConnection, broken: boolean): void {
    if (!broken && !this.#closed && endTransaction(reader)) this.#idleReaders.push(reader)
    else discard(reader)
  }

  /** For the holder of the writers' place. A connection that cannot even roll back is dropped too. */
  giveBackWriter(writer: SqliteConnection, broken: boolean): void {
    if (endTransaction(writer) && !broken) return
    // A database in memory lives as long as its connection.
    if (this.#inMemory === true) return
    this.#writer = undefined
    discard(writer)
  }

  /** Waits for transactions that have begun; those that have not are refused. */
  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  async #end(): Promise<void> {
    const places = [
      this.writers.enter(),
      ...Array.from({ length: this.options.readersMax }, () => this.readers.enter()),
    ]
    const leaves = await Promise.all(places)
    this.#closed = true
    for (const reader of this.#idleReaders.splice(0)) discard(reader)
    if (this.#writer !== undefined) discard(this.#writer)
    this.#writer = undefined
    for (const leave of leaves) leave()
  }

  /** The new writer is in place before anyone can see that nobody is opening one. */
  async #openWriter(): Promise<SqliteConnection> {
    try {
      const writer = await this.#open()
      if (this.#closed) {
        discard(writer)
        throw new StoreClosedError()
      }
      this.#writer = writer
      return writer
    } finally {
      this.#opening = undefined
    }
  }

  async #open(): Promise<SqliteConnection> {
    const { open, prefix, synchronous } = this.options
    let connection: SqliteConnection | undefined
    try {
      connection = new SqliteConnection(openHandle(open, prefix), prefix)
      // A driver's own waiting would freeze the event loop, and with it the holder that is being waited for.
      connection.exec('pragma busy_timeout = 0')
      await this.#useWal(connection)
      // On every connection: some drivers open later ones with NORMAL.
      connection.exec(`pragma synchronous = ${synchronous}`)
      return connection
    } catch (error) {
      if (connection !== undefined) discard(connection)
      throw translateSqliteError(error, prefix)
    }
  }

  /**
   * Switching the file to WAL needs it alone for an instant, once in its life; so does recovery after a crash. Several
   * processes may start together.
   */
  async #useWal(connection: SqliteConnection): Promise<void> {
    const { clock, busyWaitMs } = this.options
    const deadline = clock.monotonic() + busyWaitMs
    for (;;) {
      try {
        const [answer] = connection.db.prepare('pragma journal_mode = wal').all() as {
          journal_mode: string
        }[]
        if (answer?.journal_mode === 'wal' || answer?.journal_mode === 'memory') return
        throw new ConfigError('sqlite', [
          `the file stays in journal mode ${answer?.journal_mode}, and Holdfast needs WAL; is it on a network drive?`,
        ])
      } catch (error) {
        if (!isBusy(error) || clock.monotonic() >= deadline) throw error
        await clock.sleep(1 + clock.random() * 4)
      }
    }
  }
}

/** False when the connection is still in a transaction, and so of no use. */
function endTransaction({ db }: SqliteConnection): boolean {
  try {
    if (!inTransaction(db)) return true
    db.exec('rollback')
    return !inTransaction(db)
  } catch {
    return false
  }
}

/** @throws StoreUnavailableError with what the application's function threw as its cause, ConfigError for what is no connection */
function openHandle(open: () => SqliteDatabaseLike, prefix: string): SqliteDatabaseLike {
  let handle: SqliteDatabaseLike | undefined
  try {
    handle = open()
  } catch (error) {
    const known = translateSqliteError(error, prefix)
    if (isHoldfastError(known)) throw known
    throw new StoreUnavailableError('SQLite could not open the file', 'not-applied', { cause: error })
  }
  if (typeof handle?.exec === 'function' && typeof handle.prepare === 'function') return handle
  throw new ConfigError('sqlite', ['open must give a connection of node:sqlite, libsql or better-sqlite3'])
}

/** libsql's close leaves the file locked until its statements are collected, so the transaction is ended first. */
function discard(connection: SqliteConnection): void {
  endTransaction(connection)
  quietly(() => connection.db.close())
}

/** A handle that cannot even close is of no use; another is opened. */
function quietly(action: () => void): void {
  try {
    action()
  } catch {}
}
