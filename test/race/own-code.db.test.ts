/**
 * The explorer over the code of this project: each promise holds in every schedule; and the same with its mechanism
 * taken out, in which the explorer has to find the race.
 */
import { migrate, type Store, sql } from 'holdfast'
import { effectTables } from 'holdfast/effects'
import { fence, fenceTables } from 'holdfast/fence'
import { createInbox } from 'holdfast/inbox'
import { acquireLease, leaseTables } from 'holdfast/lease'
import { createLocks, lockTables } from 'holdfast/lock'
import { postgres } from 'holdfast/postgres'
import { testMessage } from 'holdfast/testing'
import { readVersioned, updateVersioned } from 'holdfast/version'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { explore, type RaceDefinition, race } from '../../src/race/index.ts'
import { type FreshPool, freshPool } from '../support/postgres.ts'

let db: FreshPool
let store: Store
beforeAll(async () => {
  db = await freshPool()
  store = postgres(db.pool)
  await migrate(store, [leaseTables, effectTables, fenceTables, lockTables])
  await db.pool.query(`
    create table account (id text primary key, balance int not null, version bigint not null);
    create table payment (id serial primary key, message text not null);
    create table seen (message text not null);
    create table resource (id int primary key, token bigint not null);
    create table owner (name text primary key, who text)`)
})
afterAll(() => db.drop())

const EMPTY = `delete from account; delete from payment; delete from seen; delete from resource; delete from owner;
  delete from holdfast_lease; delete from holdfast_effect; delete from holdfast_fence; delete from holdfast_lock;
  insert into account values ('a', 100, 1); insert into resource values (1, 0); insert into owner values ('job', null)`

/** One promise: two tasks that keep it, and two without the mechanism. */
interface Promised {
  readonly tasks: () => RaceDefinition['tasks']
  readonly without: () => RaceDefinition['tasks']
}

type Account = { balance: number }
const message = () => testMessage({ id: 'm1', topic: 'paid', payload: {} })
const pay = sql`insert into payment (message) values (${'m1'})`

const promises: Record<string, Promised> = {
  'a versioned update loses nothing': {
    tasks: () => {
      const add = (by: number) => async () => {
        const read = await store.transaction((tx) => readVersioned<Account>(tx, 'account', { id: 'a' }))
        if (read === undefined) throw new Error('no account')
        const balance = read.row.balance + by
        await store.transaction((tx) =>
          updateVersioned(tx, 'account', { id: 'a' }, read.version, { balance }),
        )
      }
      return { alice: add(10), bob: add(20) }
    },
    without: () => {
      const add = (by: number) => async () => {
        const [row] = await store.query<{ balance: number }>(sql`select balance from account where id = 'a'`)
        await store.execute(
          sql`update account set balance = ${(row?.balance ?? 0) + by}, version = version + 1 where id = 'a'`,
        )
      }
      return { alice: add(10), bob: add(20) }
    },
  },
  'a message that comes twice is handled once': {
    tasks: () => {
      const inbox = createInbox(store)
      const handle = async () => {
        await store.transaction((tx) =>
          inbox.handle(tx, message(), () => tx.execute(pay), { group: 'ledger' }),
        )
      }
      return { first: handle, second: handle }
    },
    without: () => {
      const handle = async () => {
        await store.transaction(async (tx) => {
          const known = await tx.query(sql`select 1 from seen where message = ${'m1'}`)
          if (known.length > 0) return
          await tx.execute(sql`insert into seen (message) values (${'m1'})`)
          await tx.execute(pay)
        })
      }
      return { first: handle, second: handle }
    },
  },
  'a lower token does not write after a higher one': {
    tasks: () => {
      const write = (token: bigint, holder: string) => () =>
        store.transaction(async (tx) => {
          await fence(tx, { resource: 'r', token, holder })
          await tx.execute(sql`update resource set token = ${token} where id = 1`)
        })
      return { stale: write(1n, 'a'), current: write(2n, 'b') }
    },
    without: () => {
      const write = (token: bigint) => () =>
        store.transaction(async (tx) => {
          const [row] = await tx.query<{ token: string }>(sql`select token from resource where id = 1`)
          if (BigInt(row?.token ?? 0) > token) throw new Error('stale')
          await tx.execute(sql`update resource set token = ${token} where id = 1`)
        })
      return { stale: write(1n), current: write(2n) }
    },
  },
  'of two that ask for a lease one gets it': {
    tasks: () => {
      const ask = (owner: string) => async () =>
        (await acquireLease(store, { scope: 's', name: 'job', owner, ttlMs: 60_000 })) !== undefined
      return { ann: ask('ann'), ben: ask('ben') }
    },
    without: () => {
      const ask = (owner: string) => async () => {
        const [row] = await store.query<{ who: string | null }>(sql`select who from owner where name = 'job'`)
        if (row?.who !== null) return false
        await store.execute(sql`update owner set who = ${owner} where name = 'job'`)
        return true
      }
      return { ann: ask('ann'), ben: ask('ben') }
    },
  },
  'of two that try a lock one gets it': {
    tasks: () => {
      // Its own locks in each schedule: holders are numbered, and the number stands in the row.
      const ask = (owner: string) => async () =>
        (await createLocks(store, { owner }).tryAcquire('job', { ttlMs: 60_000 })) !== undefined
      return { ann: ask('ann'), ben: ask('ben') }
    },
    without: () => {
      const ask = (owner: string) => async () => {
        const taken = await store.query(sql`select 1 from seen where message = ${'lock'}`)
        if (taken.length > 0) return false
        await store.execute(sql`insert into seen (message) values (${'lock'})`)
        return owner !== ''
      }
      return { ann: ask('ann'), ben: ask('ben') }
    },
  },
}

describe.each(Object.entries(promises))('%s', (name, promised) => {
  const look = (tasks: RaceDefinition['tasks']) =>
    explore(race(name, { store, setup: (on) => on.query(EMPTY), tasks }), { schedules: 300 })

  it('in every schedule', async () => {
    const { finding, coverage } = await look(promised.tasks())
    expect(finding?.explanation).toBeUndefined()
    expect(coverage.exhaustive).toBe(true)
  })

  it('and not without its mechanism, which the explorer finds', async () => {
    const { finding } = await look(promised.without())
    expect(finding).toBeDefined()
  })
})
