import { migrate, type Store } from 'holdfast'
import { acquireLease, leaseTables } from 'holdfast/lease'
import { postgres } from 'holdfast/postgres'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { acquireAll } from '../../src/lease/acquire.ts'
import { type FreshPool, freshPool } from '../support/postgres.ts'

let db: FreshPool
let store: Store
beforeAll(async () => {
  db = await freshPool()
  store = postgres(db.pool)
  await migrate(store, [leaseTables])
})
afterAll(() => db.drop())

it('gives leases in the order of their names, however the rows lie', async () => {
  const ask = { scope: 's', owner: 'ann', ttlMs: 60_000 }
  for (const name of ['c', 'b', 'a']) await acquireLease(store, { ...ask, name })
  await db.pool.query('vacuum analyze holdfast_lease')
  const names = ['b', 'c', 'a']
  const leases = await acquireAll(store, { ...ask, names, timeoutMs: 60_000, skipLocked: true })
  expect(leases.map(({ name }) => name)).toEqual(['a', 'b', 'c'])
})
