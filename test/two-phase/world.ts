/** Two databases that must agree, and a log of decisions in one of three places. */
import { migrate, type Store } from 'holdfast'
import { type TwoPhase, type TwoPhaseOptions, twoPhaseTables } from 'holdfast/two-phase'
import { afterAll, beforeAll, beforeEach } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { freshPool } from '../support/postgres.ts'
import { until } from '../support/wait.ts'
import { type Addresses, coordinatorOf, openStores, type Place } from './stores.ts'

export { move, type Place, places } from './stores.ts'

export interface World extends AsyncDisposable {
  readonly at: Addresses
  readonly orders: Store
  readonly payments: Store
  readonly log: Store
  coordinator(options?: Partial<TwoPhaseOptions>): TwoPhase
  /** Forgets what was moved and decided. */
  empty(): Promise<void>
  /** What each database says was moved, and whether any prepared transaction is left. Read by plain SQL. */
  audit(): Promise<{ orders: string[]; payments: string[]; prepared: string[] }>
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
    async empty() {
      for (const store of [stores.orders, stores.payments]) await store.execute('delete from moved')
      await stores.log.execute('delete from holdfast_two_phase')
    },
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

/** One world for the tests of a block, emptied before each. */
export function useWorld(place: Place, use: (world: World) => void): void {
  let world: World
  beforeAll(async () => {
    world = await openWorld(place)
    use(world)
  })
  beforeEach(() => world.empty())
  afterAll(() => world[Symbol.asyncDispose]())
}

export const NOTHING = { orders: [], payments: [], prepared: [] }
export const moved = (...ids: string[]) => ({ orders: ids, payments: ids, prepared: [] })

/** A connection of the dead is still at work at the server for a moment; recovery comes again, as it does in life. */
export async function settles(world: World): Promise<void> {
  const twoPhase = world.coordinator()
  await until(
    async () => {
      await twoPhase.recover({ inDoubtMs: 0, timeoutMs: 1_000 })
      return (await world.audit()).prepared.length === 0 && (await twoPhase.decisions()).length === 0
    },
    { deadlineMs: 15_000, everyMs: 50, what: 'recovery to settle everything' },
  )
}
