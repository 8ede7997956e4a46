/** The stores of the tests, for processes of their own as well. */
import { type Store, sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { createTwoPhase, type TwoPhase, type TwoPhaseOptions } from 'holdfast/two-phase'
import pg from 'pg'
import { openSqlite } from '../support/sqlite.ts'

/**
 * Where the decisions are: in a database of their own, in PostgreSQL `orders` (whose commit then decides), or `orders` is
 * SQLite and holds them.
 */
export const places = ['apart', 'orders', 'sqlite'] as const
export type Place = (typeof places)[number]

/** What may go down. */
export type Victim = 'orders' | 'payments' | 'log'

/** How another process reaches the same databases. */
export interface Addresses {
  readonly place: Place
  readonly orders: string
  readonly payments: string
  readonly log: string
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
