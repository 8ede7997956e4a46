/** Two databases that must agree, and a log of decisions in one of three places. */
import { migrate, type Store, sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { createTwoPhase, type TwoPhase, type TwoPhaseOptions, twoPhaseTables } from 'holdfast/two-phase'
import pg from 'pg'
import { tempFolder } from '../support/files.ts'
import { freshPool } from '../support/postgres.ts'
import { openSqlite } from '../support/sqlite.ts'

/**
 * Where the decisions are: in a database of their own, in PostgreSQL `orders` (whose commit then decides), or `orders` is
 * SQLite and holds them.
 */
export const places = ['apart', 'orders', 'sqlite'] as const
export type Place = (typeof places)[number]

/** How another process reaches the same databases. */
export interface Addresses {
  readonly place: Place
  readonly orders: string
  readonly payments: string
  readonly log: string
}

export interface World extends AsyncDisposable {
  readonly at: Addresses
  readonly orders: Store
  readonly payments: Store
  readonly log: Store
  coordinator(options?: Partial<TwoPhaseOptions>): TwoPhase
  /** What each database says was moved, and whether any prepared transaction is left. Read by plain SQL. */
  audit(): Promise<{ orders: string[]; payments: string[]; prepared: string[] }>
}

export interface Stores {
  readonly orders: Store
  readonly payments: Store
  readonly log: Store
  close(): Promise<void>
}

/** Opens the stores at these addresses, also in a process of its own. */
export function openStores({ place, orders, payments, log }: Addresses): Stores {
  const pools: pg.Pool[] = []
  const open = (url: string): Store => {
    const pool = new pg.Pool({ connectionString: url, max: 20, connectionTimeoutMillis: 5_000 })
    pool.on('error', () => {})
    pool.on('connect', (client) => client.on('error', () => {}))
    pools.push(pool)
    return postgres(pool)
  }
  const ordersStore = place === 'sqlite' ? sqlite({ open: () => openSqlite(orders) }) : open(orders)
  return {
    orders: ordersStore,
    payments: open(payments),
    log: place === 'apart' ? open(log) : ordersStore,
    async close() {
      await ordersStore.close()
      await Promise.all(pools.map((pool) => pool.end()))
    },
  }
}

export function coordinatorOf(
  { orders, payments, log }: Pick<Stores, 'orders' | 'payments' | 'log'>,
  options: Partial<TwoPhaseOptions> = {},
): TwoPhase {
  return createTwoPhase(log, { participants: { orders, payments }, ...options })
}

/** One transaction over both: `id` is moved. */
export function move(
  twoPhase: TwoPhase,
  { orders, payments }: Pick<Stores, 'orders' | 'payments'>,
  id: string,
) {
  return twoPhase([orders, payments], async ([o, p]) => {
    await o.execute(sql`insert into moved (id) values (${id})`)
    await p.execute(sql`insert into moved (id) values (${id})`)
    return id
  })
}

export async function openWorld(place: Place): Promise<World> {
  const folder = tempFolder('two-phase')
  const databases = [await freshPool(), ...(place === 'sqlite' ? [] : [await freshPool()])]
  const apart = place === 'apart' ? await freshPool() : undefined
  const [payments, orders] = databases.map((d) => d.url)
  const at: Addresses = {
    place,
    payments: payments as string,
    orders: orders ?? folder.file('orders.db'),
    log: apart?.url ?? '',
  }
  const stores = openStores(at)
  await migrate(stores.log, [twoPhaseTables])
  for (const store of [stores.orders, stores.payments]) {
    await store.execute('create table moved (id text primary key)')
  }
  return {
    at,
    ...stores,
    coordinator: (options) => coordinatorOf(stores, options),
    async audit() {
      const ids = async (store: Store) =>
        (await store.read<{ id: string }>('select id from moved order by id')).map((row) => row.id)
      const prepared: string[] = []
      for (const { pool } of databases) {
        const { rows } = await pool.query<{ gid: string }>(
          'select gid from pg_prepared_xacts where database = current_database()',
        )
        prepared.push(...rows.map((row) => row.gid))
      }
      return { orders: await ids(stores.orders), payments: await ids(stores.payments), prepared }
    },
    async [Symbol.asyncDispose]() {
      await stores.close()
      for (const database of [...databases, ...(apart ? [apart] : [])]) await database.drop()
      folder.remove()
    },
  }
}

export const NOTHING = { orders: [], payments: [], prepared: [] }
export const moved = (...ids: string[]) => ({ orders: ids, payments: ids, prepared: [] })
