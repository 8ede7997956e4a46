import type { BeginOptions, Session } from '../engine.ts'
import { StoreUnavailableError, TransactionAbortedError } from '../errors.ts'
import { beginWith } from './postgres-begin.ts'
import { cancelStatement } from './postgres-cancel.ts'
import type { PgClientLike, PgPoolLike, PgResultLike } from './postgres-client.ts'
import type { Phase } from './postgres-errors.ts'
import { type PgStatement, PostgresStatements, type StatementOptions } from './postgres-statements.ts'

/**
 * One transaction on one connection of the pool. BEGIN is put off to the first statement and travels with it, so that a
 * transaction costs one round trip less and one that never touches the store costs none.
 */
export class PostgresSession extends PostgresStatements implements Session {
  readonly #client: PgClientLike
  readonly #health: Health
  readonly #leave: () => void
  #begun = false
  #stale = false

  /** `leave` gives the turn at the pool to the next one. */
  constructor(
    client: PgClientLike,
    pool: PgPoolLike,
    options: StatementOptions,
    begin: BeginOptions,
    leave: () => void,
  ) {
    const beginText = textOfBegin(begin)
    const { alone } = begin
    super(options, (statement) =>
      this.#begun || alone ? client.query(statement) : this.#begin(pool, beginText, statement),
    )
    this.#client = client
    this.#health = healthOf(client)
    this.#leave = leave
  }

  async #begin(pool: PgPoolLike, beginText: string, statement: PgStatement): Promise<PgResultLike> {
    const together = beginWith(pool, this.#client, beginText, statement)
    if (together === undefined) await this.#client.query(beginText)
    this.#begun = true
    return together ?? this.#client.query(statement)
  }

  async commit(): Promise<void> {
    if (!this.#begun) return
    if (this.#health.error !== undefined) {
      throw new StoreUnavailableError(
        'PostgreSQL lost the connection before COMMIT was sent',
        'not-applied',
        {
          cause: this.#health.error,
        },
      )
    }
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

  async rollback(): Promise<void> {
    this.close()
    await this.#send('rollback', 'statement')
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
