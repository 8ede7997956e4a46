import { createHash } from 'node:crypto'
import type { LockRequest, Statement, StatementResult, Statements } from '../engine.ts'
import { LockTimeoutError, RowLockedError, TransactionStateError } from '../errors.ts'
import { compileSql, type Sql, type SqlValue, sql } from '../sql.ts'
import type { Row } from '../transaction.ts'
import type { PgResultLike } from './postgres-client.ts'
import { postgresDialect } from './postgres-dialect.ts'
import { type Phase, translatePostgresError } from './postgres-errors.ts'

export interface PgStatement {
  readonly name?: string
  readonly text: string
  readonly values: readonly SqlValue[]
}

export interface StatementOptions {
  /** Tells our missing tables from the user's. */
  readonly prefix: string
  readonly prepare: boolean
}

/** Runs statements in one transaction, whoever began it; `query` is how they reach the driver. */
export class PostgresStatements implements Statements {
  readonly #options: StatementOptions
  readonly #query: (statement: PgStatement) => Promise<PgResultLike>
  /** Settles when the last statement that was handed over is done; undefined when none is under way. */
  #tail: Promise<unknown> | undefined
  #closed = false

  constructor(options: StatementOptions, query: (statement: PgStatement) => Promise<PgResultLike>) {
    this.#options = options
    this.#query = query
  }

  async run(statement: Statement): Promise<StatementResult> {
    try {
      return resultOf(await this.inTurn(() => this.#query(this.named(statement))))
    } catch (error) {
      throw this.translate(error, 'statement')
    }
  }

  /** One turn, so that no statement sent beside it runs under the bound that is meant for this one. */
  async lockRows(request: LockRequest): Promise<Row[]> {
    const { wait } = request
    const waitMs = typeof wait === 'object' ? wait.waitMs : undefined
    const lock = { ...compileSql(lockStatement(request), postgresDialect), prepare: false }
    try {
      return await this.inTurn(async () => {
        const before =
          waitMs === undefined ? undefined : await this.#setStatementTimeout(`${Math.ceil(waitMs)}ms`)
        const { rows } = await this.#send(lock)
        if (before !== undefined) await this.#setStatementTimeout(before)
        return rows
      })
    } catch (error) {
      throw lockError(this.translate(error, 'statement'), request, waitMs)
    }
  }

  /** Statements that wait for their turn are refused from now on; the one under way is not touched. */
  protected close(): void {
    this.#closed = true
  }

  protected translate(error: unknown, phase: Phase): unknown {
    return translatePostgresError(error, phase, this.#options.prefix)
  }

  /**
   * One at a time, in the order of the calls: pg is about to give up queueing statements on a busy client.
   * `last` is for COMMIT and ROLLBACK, which still pass when the rest is closed.
   */
  protected inTurn<T>(send: () => Promise<T>, last = false): Promise<T> {
    const sendOpen = (): Promise<T> => {
      if (!this.#closed || last) return send()
      return Promise.reject(
        new TransactionStateError('the transaction was rolled back before this statement'),
      )
    }
    const sent = this.#tail === undefined ? sendOpen() : this.#tail.then(sendOpen)
    const done = (): void => {
      if (this.#tail === tail) this.#tail = undefined
    }
    const tail: Promise<void> = sent.then(done, done)
    this.#tail = tail
    return sent
  }

  /** A statement as pg takes it. */
  protected named({ text, values, prepare }: Statement): PgStatement {
    const name = prepare && this.#options.prepare ? statementName(text) : undefined
    return name === undefined ? { text, values } : { name, text, values }
  }

  async #send(statement: Statement): Promise<StatementResult> {
    return resultOf(await this.#query(this.named(statement)))
  }

  /**
   * `lock_timeout` counts anew for each row that is waited for; `statement_timeout` is one deadline for all of them.
   * Both ends of the change are local to the transaction.
   */
  async #setStatementTimeout(value: string): Promise<string> {
    const { rows } = await this.#send({
      text: "select current_setting('statement_timeout') as before, set_config('statement_timeout', $1, true)",
      values: [value],
      prepare: true,
    })
    return String(rows[0]?.before)
  }
}

/** Several statements in one text give several results; the last one is the answer. */
export function resultOf(answer: PgResultLike | readonly PgResultLike[]): StatementResult {
  const { rows, rowCount } = (Array.isArray(answer) ? answer.at(-1) : answer) as PgResultLike
  return { rows: rows as Row[], changes: rowCount ?? 0 }
}

function lockStatement({ from, where, orderBy, limit, strength, wait }: LockRequest): Sql {
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
  if (code === 'TRANSACTION_TIMEOUT' && waitMs !== undefined)
    return new LockTimeoutError(`the lock on rows of "${table}"`, waitMs, { cause })
  return error
}

/**
 * pg refuses one name with two texts, so the name follows from the text alone, also across copies of this package.
 * Texts past the bound go unprepared, since each name costs the server memory on every connection. So do texts with a
 * `*`: a prepared one fails for ever on its connection ("cached plan must not change result type") once a column is
 * added to the table.
 */
const names = new Map<string, string | undefined>()
const NAMES_MAX = 1000

function statementName(text: string): string | undefined {
  const known = names.get(text)
  if (known !== undefined || names.size >= NAMES_MAX || names.has(text)) return known
  const name = /(?:\bselect|\breturning|[.,])\s*\*/i.test(text)
    ? undefined
    : `holdfast_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`
  names.set(text, name)
  return name
}
