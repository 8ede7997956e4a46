import { UnsupportedError } from '../../core/errors.ts'
import { expiryOf } from '../deadline.ts'
import type { BeginOptions, LockRequest, Session, Statement, StatementResult } from '../engine.ts'
import {
  LockTimeoutError,
  RowLockedError,
  StoreBusyError,
  StoreUnavailableError,
  TransactionAbortedError,
  TransactionStateError,
} from '../errors.ts'
import type { Row } from '../transaction.ts'
import { inTransaction } from './sqlite-client.ts'
import type { SqliteConnection } from './sqlite-connection.ts'
import type { SqliteEngine } from './sqlite-engine.ts'
import { isBusy, isFull, translateSqliteError } from './sqlite-errors.ts'
import { toLockStatement } from './sqlite-lock.ts'

/** An open transaction: the connection it is on, and how to give that back. */
interface Open {
  readonly connection: SqliteConnection
  giveBack(broken: boolean): void
}

/**
 * One transaction. BEGIN is put off to the first statement, so that work which has not touched the store yet does not
 * hold the file, and so that `nowait` can mean something: it must be that first statement.
 *
 * The drivers are synchronous, so nothing can come between two lines without an `await`. What can come between an
 * `await` and the next line is a release, which is why each of them looks at `#released` again.
 */
export class SqliteSession implements Session {
  readonly #engine: SqliteEngine
  readonly #options: BeginOptions
  #open: Open | undefined
  #opening: Promise<void> | undefined
  /** Statements that wait for BEGIN; a later one must not overtake them. */
  #behind = 0
  #released = false
  /** Set once no statement may run any more: what reached the connection now would be committed on its own. */
  #ended: TransactionStateError | TransactionAbortedError | undefined

  constructor(engine: SqliteEngine, options: BeginOptions) {
    this.#engine = engine
    this.#options = options
  }

  async run(statement: Statement): Promise<StatementResult> {
    if (!this.#readyAtOnce()) await this.#ready(undefined)
    return this.#runOpen(statement)
  }

  async lockRows(request: LockRequest): Promise<Row[]> {
    const statement = toLockStatement(request)
    if (this.#options.readOnly) throw new UnsupportedError('a read-only transaction cannot lock rows')
    const { wait, table } = request
    const waitMs = wait === 'nowait' ? 0 : typeof wait === 'object' ? wait.waitMs : undefined
    try {
      await this.#ready(waitMs)
    } catch (error) {
      if ((error as { code?: string }).code !== 'STORE_BUSY' || waitMs === undefined) throw error
      throw waitMs === 0
        ? new RowLockedError(`the SQLite file of "${table}"`, { cause: error })
        : new LockTimeoutError(`the SQLite file of "${table}"`, waitMs, { cause: error })
    }
    return this.#runOpen(statement).rows
  }

  commit(): void | Promise<void> {
    if (this.#open === undefined) return
    if (this.#ended !== undefined) throw this.#ended
    const { connection } = this.#open
    try {
      connection.control('commit')
    } catch (error) {
      return this.#commitAgain(connection, error)
    }
  }

  /** COMMIT has failed with `error`: it is tried again where that is allowed. */
  async #commitAgain(connection: SqliteConnection, error: unknown): Promise<void> {
    const { clock, prefix } = this.#engine.options
    const stillOpen = inTransaction(connection.db)
    // Busy: a reader stands in the way (not in WAL mode), and COMMIT may be tried again.
    if (stillOpen && isBusy(error) && !this.#options.deadline.fired) {
      await clock.sleep(1 + clock.random() * 5)
      if (this.#released) throw over()
      return this.commit()
    }
    if (stillOpen) connection.exec('rollback')
    if (stillOpen || isFull(error)) throw translateSqliteError(error, prefix)
    throw new StoreUnavailableError('SQLite met an error while COMMIT was under way', 'unknown', {
      cause: error,
    })
  }

  async rollback(): Promise<void> {
    this.#ended ??= over()
    // SQLite itself rolls back on some errors (disk full, I/O).
    if (this.#open !== undefined && inTransaction(this.#open.connection.db))
      this.#open.connection.exec('rollback')
  }

  cancel(): void {
    // A statement of a synchronous driver is over before anything else can run; one that waits for BEGIN sees `#released`.
  }

  release(broken: boolean): void {
    this.#released = true
    this.#open?.giveBack(broken)
    this.#open = undefined
  }

  /** Some errors make SQLite roll back by itself (`insert or rollback`, disk full); the transaction is then over. */
  #runOpen(statement: Statement): StatementResult {
    if (this.#open === undefined) throw over()
    if (this.#ended !== undefined) throw this.#ended
    const { connection } = this.#open
    try {
      return connection.run(statement)
    } catch (error) {
      if (!inTransaction(connection.db)) this.#ended = new TransactionAbortedError({ cause: error })
      throw error
    }
  }

  /** The common case, in which nothing is waited for: the connection is open, and nobody else writes. */
  #readyAtOnce(): boolean {
    if (this.#released) throw over()
    if (this.#open !== undefined) return this.#behind === 0
    if (this.#opening !== undefined || this.#options.readOnly) return false
    const connection = this.#engine.openWriter
    const leave = connection && this.#engine.writers.tryEnter()
    if (leave === undefined) return false
    try {
      connection?.control('begin immediate')
    } catch (error) {
      leave()
      if (isBusy(error)) return false
      throw translateSqliteError(error, this.#engine.options.prefix)
    }
    this.#open = this.#writing(connection as SqliteConnection, leave)
    return true
  }

  /** Statements sent together share one BEGIN, and run in the order of the calls. */
  async #ready(waitMs: number | undefined): Promise<void> {
    if (this.#released) throw over()
    if (this.#open !== undefined && this.#behind === 0) return
    this.#opening ??= this.#begin(waitMs)
    this.#behind += 1
    try {
      await this.#opening
    } catch (error) {
      // No transaction was opened, so a later statement may try anew.
      this.#opening = undefined
      throw error
    } finally {
      this.#behind -= 1
    }
  }

  async #begin(waitMs: number | undefined): Promise<void> {
    const open =
      this.#options.readOnly && !(await this.#engine.inMemory())
        ? await this.#beginRead()
        : await this.#beginWrite(waitMs)
    if (this.#released) open.giveBack(false)
    else this.#open = open
  }

  /** In WAL mode a reader sees one snapshot and neither waits for the writer nor makes it wait. */
  async #beginRead(): Promise<Open> {
    const engine = this.#engine
    const leave = engine.readers.tryEnter() ?? (await engine.readers.enter(this.#options.deadline))
    try {
      const connection = await engine.takeReader()
      connection.exec('begin')
      return {
        connection,
        giveBack: (broken) => {
          engine.giveBackReader(connection, broken)
          leave()
        },
      }
    } catch (error) {
      leave()
      throw translateSqliteError(error, engine.options.prefix)
    }
  }

  /**
   * BEGIN IMMEDIATE takes the write lock at once, so no later statement can meet SQLITE_BUSY_SNAPSHOT.
   *
   * `waitMs` bounds the whole wait. Without it, the wait for writers of this process has only the transaction's own
   * deadline, and the one for other processes `busyWaitMs`, counted from this transaction's turn.
   */
  async #beginWrite(waitMs: number | undefined): Promise<Open> {
    const engine = this.#engine
    const { clock, prefix, busyWaitMs } = engine.options
    const startMs = clock.monotonic()
    const leave = engine.writers.tryEnter() ?? (await this.#queue(waitMs))
    const deadline = waitMs === undefined ? clock.monotonic() + busyWaitMs : startMs + waitMs
    try {
      const connection = await engine.writer()
      for (let tries = 1; !this.#released; tries++) {
        try {
          connection.control('begin immediate')
          break
        } catch (error) {
          if (!isBusy(error)) throw translateSqliteError(error, prefix)
          if (clock.monotonic() >= deadline) {
            const ms = waitMs ?? busyWaitMs
            throw new StoreBusyError(`another process held the SQLite file for ${ms} ms`, { cause: error })
          }
          // Short and random, so that processes which write in turn find each other's gaps.
          await clock.sleep(0.5 + clock.random() * Math.min(2 ** tries, 8), this.#options.deadline.signal)
        }
      }
      if (this.#options.readOnly) connection.exec('pragma query_only = on')
      return this.#writing(connection, leave)
    } catch (error) {
      leave()
      throw error
    }
  }

  #writing(connection: SqliteConnection, leave: () => void): Open {
    return {
      connection,
      giveBack: (broken) => {
        try {
          if (this.#options.readOnly) connection.exec('pragma query_only = off')
          this.#engine.giveBackWriter(connection, broken)
        } finally {
          leave()
        }
      },
    }
  }

  async #queue(waitMs: number | undefined): Promise<() => void> {
    const { clock } = this.#engine.options
    const { writers } = this.#engine
    const { urgent, deadline } = this.#options
    if (waitMs === undefined) return writers.enter(deadline, { urgent })
    const busy = new StoreBusyError(`a transaction of this process held the SQLite file for ${waitMs} ms`)
    if (waitMs === 0) throw busy
    const timeout = new AbortController()
    const entered = new AbortController()
    clock.sleep(waitMs, entered.signal).then(
      () => timeout.abort(busy),
      () => {},
    )
    try {
      const either = expiryOf(AbortSignal.any([deadline.signal, timeout.signal]))
      return await writers.enter(either, { urgent })
    } finally {
      entered.abort()
    }
  }
}

function over(): TransactionStateError {
  return new TransactionStateError('the transaction was over before the statement could begin')
}
