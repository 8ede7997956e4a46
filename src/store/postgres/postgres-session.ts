import type { BeginOptions, Session, Statement, StatementResult } from '../engine.ts'
import { StoreUnavailableError, TransactionAbortedError } from '../errors.ts'
import type { PreparedEnd } from '../prepared.ts'
import { cancelStatement } from './postgres-cancel.ts'
import type { PgClientLike, PgPoolLike, PgResultLike } from './postgres-client.ts'
import type { Phase } from './postgres-errors.ts'
import { sendTogether } from './postgres-flight.ts'
import { endPrepared } from './postgres-prepared.ts'
import {
  type PgStatement,
  PostgresStatements,
  resultOf,
  type StatementOptions,
} from './postgres-statements.ts'

/**
 * One transaction on one connection of the pool. BEGIN is put off to the first statement and travels with it, so that a
 * transaction costs one round trip less and one that never touches the store costs none. COMMIT travels with the last
 * statement where it is known to be the last.
 */
export class PostgresSession extends PostgresStatements implements Session {
  readonly #client: PgClientLike
  readonly #pool: PgPoolLike
  readonly #beginText: string
  readonly #health: Health
  readonly #leave: () => void
  #begun = false
  #stale = false
  #mayStand = false

  /** `leave` gives the turn at the pool to the next one. */
  constructor(
    client: PgClientLike,
    pool: PgPoolLike,
    options: StatementOptions,
    begin: BeginOptions,
    leave: () => void,
  ) {
    const { alone } = begin
    super(options, (statement) => {
      if (!this.#begun && !alone) return this.#begin(statement)
      this.#mayStand ||= alone
      return client.query(statement)
    })
    this.#client = client
    this.#pool = pool
    this.#beginText = textOfBegin(begin)
    this.#health = healthOf(client)
    this.#leave = leave
  }

  async #begin(statement: PgStatement): Promise<PgResultLike> {
    const together = sendTogether(this.#pool, this.#client, statement, {
      before: this.#beginText,
      after: undefined,
    })
    if (together === undefined) await this.#client.query(this.#beginText)
    this.#begun = true
    return together ?? this.#client.query(statement)
  }

  get mayStand(): boolean {
    return this.#mayStand
  }

  async commitWith(statement: Statement): Promise<StatementResult> {
    this.#refuseLost()
    const before = this.#begun ? undefined : this.#beginText
    const companions = { before, after: 'commit' }
    const together = sendTogether(this.#pool, this.#client, this.named(statement), companions)
    if (together === undefined) {
      const result = await this.run(statement).catch((error) => this.#endFailed(error))
      await this.commit()
      return result
    }
    this.#begun = true
    try {
      return resultOf(await together)
    } catch (error) {
      return this.#endFailed(this.translate(error, 'commit'))
    }
  }

  /** The server has answered that the last statement failed, or COMMIT itself: nothing of the transaction may stay open. */
  async #endFailed(error: unknown): Promise<never> {
    if ((error as { outcome?: string }).outcome === 'not-applied') await this.rollback()
    throw error
  }

  async commit(): Promise<void> {
    if (!this.#begun) return
    this.#refuseLost()
    let command: string
    try {
      command = await this.#send('commit', 'commit')
    } catch (error) {
      if ((error as { code?: string }).code !== undefined) throw error
      throw new StoreUnavailableError('the driver failed while COMMIT was under way', 'unknown', {
        cause: error,
      })
    }
    // After a failed statement PostgreSQL answers COMMIT with ROLLBACK, without an error.
    if (command === 'ROLLBACK') throw new TransactionAbortedError()
  }

  #refuseLost(): void {
    const { error: cause } = this.#health
    if (cause === undefined) return
    throw new StoreUnavailableError('PostgreSQL lost the connection before COMMIT was sent', 'not-applied', {
      cause,
    })
  }

  async rollback(): Promise<void> {
    this.close()
    await this.#send('rollback', 'statement')
  }

  async prepare(gid: string): Promise<boolean> {
    if (!this.#begun) return false
    // After a failed statement PostgreSQL answers PREPARE TRANSACTION with ROLLBACK, without an error.
    const command = await this.#send(`prepare transaction '${gid}'`, 'commit')
    if (command === 'ROLLBACK') throw new TransactionAbortedError()
    return true
  }

  async endPrepared(gid: string, how: 'commit' | 'rollback'): Promise<PreparedEnd> {
    try {
      return await this.inTurn(() => endPrepared(this.#client, gid, how), true)
    } catch (error) {
      throw this.translate(error, 'commit')
    }
  }

  cancel(): Promise<void> {
    return cancelStatement(this.#client)
  }

  release(broken: boolean): void {
    try {
      this.#client.release(broken || this.#stale || this.#health.error !== undefined)
    } finally {
      this.#leave()
    }
  }

  /** A connection whose prepared statements no longer fit their tables is not handed out again. */
  protected override translate(error: unknown, phase: Phase): unknown {
    this.#stale ||= (error as { code?: string }).code === '0A000'
    return super.translate(error, phase)
  }

  /** COMMIT or ROLLBACK, behind what is under way. */
  async #send(text: string, phase: Phase): Promise<string> {
    try {
      return await this.inTurn(async () => {
        if (!this.#begun) return ''
        return ((await this.#client.query(text)) as PgResultLike).command
      }, true)
    } catch (error) {
      throw this.translate(error, phase)
    }
  }
}

function textOfBegin({ isolation, readOnly }: BeginOptions): string {
  const level = isolation === undefined ? '' : ` isolation level ${isolation.replace('-', ' ')}`
  return `begin${level}${readOnly ? ' read only' : ''}`
}

interface Health {
  error: Error | undefined
}

const healths = new WeakMap<object, Health>()

/** Listens once to each connection: one that breaks while it is checked out would otherwise end the process. */
function healthOf(client: PgClientLike): Health {
  let health = healths.get(client)
  if (health === undefined) {
    const made: Health = { error: undefined }
    client.on('error', (error) => {
      made.error = error
    })
    healths.set(client, made)
    health = made
  }
  return health
}
