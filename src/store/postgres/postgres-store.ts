import { ConfigError, UnsupportedError } from '../../core/errors.ts'
import { checkOptions, isBoolean, optionsOf } from '../../core/options.ts'
import { createStore, STORE_OPTION_NAMES, type StoreOptions, storeChecks } from '../create-store.ts'
import type { BeginOptions, Engine, Session, Statements } from '../engine.ts'
import { StoreClosedError } from '../errors.ts'
import { drizzleClient, isKysely, noTransaction, runOnKysely } from '../join.ts'
import { poolOfStore } from '../pool-of.ts'
import type { PreparedEngine } from '../prepared.ts'
import type { Store } from '../store.ts'
import { Turnstile } from '../turnstile.ts'
import type { PgClientLike, PgPoolLike } from './postgres-client.ts'
import { postgresDialect } from './postgres-dialect.ts'
import { translatePostgresError } from './postgres-errors.ts'
import { postgresPrepared } from './postgres-prepared.ts'
import { PostgresSession } from './postgres-session.ts'
import { PostgresStatements, type StatementOptions } from './postgres-statements.ts'

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
    optionsOf('postgres', options),
    [...STORE_OPTION_NAMES, 'prepare'],
    [
      (typeof pool === 'object' && typeof pool?.connect === 'function' && !('processID' in pool)) ||
        'the first argument must be a pg.Pool (a pg.Client is one connection)',
      options.prepare === undefined || isBoolean('prepare', options.prepare),
      ...storeChecks(options),
    ],
  )
  const { prefix = 'holdfast_', prepare = true } = options
  const store = createStore(new PostgresEngine(pool, { prefix, prepare }), options)
  poolOfStore.set(store, pool)
  return store
}

/**
 * From this many connections on, the pool's last one is kept back for urgent transactions. A smaller pool has none to
 * spare, and a transaction inside another one needs two.
 */
const POOL_WITH_RESERVE = 4

class PostgresEngine implements Engine {
  readonly dialect = postgresDialect
  readonly prepared: PreparedEngine
  readonly #pool: PgPoolLike
  readonly #options: StatementOptions
  /** For transactions that are not urgent. Undefined when nothing is kept back: the pool has a queue of its own. */
  readonly #turns: Turnstile | undefined
  #closed = false

  constructor(pool: PgPoolLike, options: StatementOptions) {
    this.#pool = pool
    this.#options = options
    this.prepared = postgresPrepared(pool, options.prefix)
    const max = pool.options?.max ?? 0
    this.#turns = max >= POOL_WITH_RESERVE ? new Turnstile(max - 1) : undefined
    // An idle connection that breaks makes the pool emit 'error', which ends the process when nobody listens.
    if (pool.listenerCount?.('error') === 0) pool.on?.('error', () => {})
  }

  async begin(options: BeginOptions): Promise<Session> {
    if (this.#closed) throw new StoreClosedError()
    const turns = options.urgent ? undefined : this.#turns
    const leave = turns === undefined ? () => {} : (turns.tryEnter() ?? (await turns.enter(options.deadline)))
    try {
      return new PostgresSession(await this.#pool.connect(), this.#pool, this.#options, options, leave)
    } catch (error) {
      leave()
      throw translatePostgresError(error, 'connect', this.#options.prefix)
    }
  }

  get waiting(): number {
    return (this.#turns?.waiting ?? 0) + (this.#pool.waitingCount ?? 0)
  }

  adopt(handle: unknown): Statements {
    if (isKysely(handle)) {
      if (!handle.isTransaction) throw noTransaction('Kysely')
      return new PostgresStatements({ ...this.#options, prepare: false }, async ({ text, values }) => {
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
    if (client.getTransactionStatus !== undefined)
      return new PostgresStatements(this.#options, (statement) => client.query(statement))
    let checked: Promise<void> | undefined
    return new PostgresStatements(this.#options, async (statement) => {
      checked ??= probeTransaction(client)
      await checked
      return client.query(statement)
    })
  }

  adoptSync(): never {
    throw new UnsupportedError('pg has no synchronous transactions; use join')
  }

  /** The pool is the application's; transactions that have begun go on. */
  async close(): Promise<void> {
    this.#closed = true
  }
}

/** Before pg 8.18 the driver does not tell whether a transaction is open; SAVEPOINT is refused outside of one. */
async function probeTransaction(client: PgClientLike): Promise<void> {
  try {
    await client.query('savepoint holdfast_probe')
    await client.query('release savepoint holdfast_probe')
  } catch (error) {
    throw (error as { code?: string }).code === '25P01' ? noTransaction('pg') : error
  }
}

function isPool(handle: object): boolean {
  return 'totalCount' in handle
}
