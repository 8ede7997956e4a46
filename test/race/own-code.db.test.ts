/**
 * The explorer over the code of this project: each promise holds in every schedule. And the same code with one statement
 * changed on its way to the server, so that the mechanism is out: the explorer has to find that, and say what broke.
 */
import { migrate, type Store, sql } from 'holdfast'
import { effectTables } from 'holdfast/effects'
import { fence, fenceTables } from 'holdfast/fence'
import { createInbox } from 'holdfast/inbox'
import { acquireLease, leaseTables } from 'holdfast/lease'
import { createLocks, lockTables, storeLocks } from 'holdfast/lock'
import { createOutbox, outboxTables } from 'holdfast/outbox'
import { postgres } from 'holdfast/postgres'
import { testMessage } from 'holdfast/testing'
import { readVersioned, updateVersioned } from 'holdfast/version'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { acquireAll } from '../../src/lease/acquire.ts'
import { LaterMover } from '../../src/outbox/later-mover.ts'
import { recordFailures } from '../../src/outbox/record-failures.ts'
import type { ReadyRow } from '../../src/outbox/relay-statements.ts'
import { type Anomaly, explore, type RaceDefinition, race, renderReport } from '../../src/race/index.ts'
import { type Alteration, AlteredPool } from '../support/altered-pool.ts'
import { type FreshPool, freshPool } from '../support/postgres.ts'

let db: FreshPool
let altered: AlteredPool
beforeAll(async () => {
  db = await freshPool()
  altered = new AlteredPool(db.pool)
  await migrate(postgres(db.pool), [leaseTables, effectTables, fenceTables, lockTables, outboxTables])
  await db.pool.query(`
    create table account (id text primary key, balance int not null, version bigint not null);
    create table keyless (like holdfast_effect);
    create table payment (id serial primary key, message text not null);
    create table resource (id int primary key, token bigint not null)`)
})
afterAll(() => db.drop())

/** The lease and the lock were had before and are free again, so that there is a row to meet at. */
const SETUP = `delete from account; delete from payment; delete from keyless; delete from resource; delete from holdfast_lease;
  delete from holdfast_effect; delete from holdfast_fence; delete from holdfast_lock; delete from holdfast_outbox;
  delete from holdfast_outbox_later;
  insert into account values ('a', 100, 1); insert into resource values (1, 0);
  insert into holdfast_lease (scope, name, owner, epoch, until_ms) values ('s', 'job', 'before', 1, 0), ('s', 'other', 'before', 1, 0);
  insert into holdfast_lock (name, token, entries, changed_ms, until_ms) values ('job', 1, '[]', 0, 0);
  insert into holdfast_lock (name, token, entries, changed_ms, until_ms, holder, mode, holders_max)
    values ('held', 1, '[]', 0, 9000000000000, 'cam', 'exclusive', 1);
  insert into holdfast_outbox overriding system value
    values ('o', 0, 1, 0, 0, null, 'm1', 'paid', 'k', '{}', null);
  insert into holdfast_outbox_later (name, partition, due_at_ms, message_id, topic, key, payload)
    values ('o', 0, 0, 'm2', 'paid', 'k', '{}')`

interface Promised {
  readonly tasks: (store: Store) => RaceDefinition['tasks']
  readonly invariant?: RaceDefinition['invariant']
  /** The mechanism, and what stands in its place. */
  readonly without: Alteration
  readonly breaks: Anomaly
}

/** True where the query gives one row. */
const thereIs = (text: string) => async (on: { query(text: string): Promise<{ rows: unknown[] }> }) =>
  (await on.query(text)).rows.length === 1

const FOR_UPDATE = { find: / for update( skip locked)?$/, put: '' }

const promises: Record<string, Promised> = {
  'a row lock holds a row until COMMIT': {
    tasks: (store) => {
      const add = (by: number) => () =>
        store.transaction(async (tx) => {
          const [row] = await tx.lockRows<{ balance: number }>('account', { id: 'a' })
          await tx.execute(sql`update account set balance = ${(row?.balance ?? 0) + by} where id = ${'a'}`)
        })
      return { alice: add(10), bob: add(20) }
    },
    without: FOR_UPDATE,
    breaks: 'lost update',
  },
  'a versioned update loses nothing': {
    tasks: (store) => {
      const add = (by: number) => async () => {
        const read = await store.transaction((tx) =>
          readVersioned<{ balance: number }>(tx, 'account', { id: 'a' }),
        )
        if (read === undefined) throw new Error('no account')
        const balance = read.row.balance + by
        await store.transaction((tx) =>
          updateVersioned(tx, 'account', { id: 'a' }, read.version, { balance }),
        )
      }
      return { alice: add(10), bob: add(20) }
    },
    // The parameter stays, or the server would not know its type.
    without: { find: /(update "account" .*) and "version" = (\$\d+)$/, put: '$1 and $2::bigint > 0' },
    breaks: 'lost update',
  },
  'a message that comes twice is handled once': {
    tasks: (store) => {
      const inbox = createInbox(store)
      const message = testMessage({ id: 'm1', topic: 'paid', payload: {} })
      const pay = sql`insert into payment (message) values (${'m1'})`
      const handle = async () => {
        await store.transaction((tx) => inbox.handle(tx, message, () => tx.execute(pay), { group: 'ledger' }))
      }
      return { first: handle, second: handle }
    },
    // A look in place of the unique key.
    without: {
      find: /^insert into "holdfast_effect" (.*) on conflict do nothing$/,
      put: 'insert into keyless $1 and not exists (select from keyless where id = $$2)',
    },
    breaks: 'not serializable',
  },
  'a lower token does not write after a higher one': {
    tasks: (store) => {
      const write = (token: bigint, holder: string) => () =>
        store.transaction(async (tx) => {
          await fence(tx, { resource: 'r', token, holder })
          await tx.execute(sql`update resource set token = ${token} where id = 1`)
        })
      return { stale: write(1n, 'a'), current: write(2n, 'b') }
    },
    invariant: thereIs('select from resource where token = 2'),
    without: { find: /(insert into "holdfast_fence" [\s\S]*)\s+where [\s\S]*$/, put: '$1' },
    breaks: 'invariant violated',
  },
  'of two that ask for an ended lease one gets it': {
    tasks: (store) => {
      const ask = (owner: string) => async () =>
        (await acquireLease(store, { scope: 's', name: 'job', owner, ttlMs: 60_000 })) !== undefined
      return { ann: ask('ann'), ben: ask('ben') }
    },
    without: FOR_UPDATE,
    breaks: 'lost update',
  },
  'a partition of the outbox goes to one relay': {
    tasks: (store) => {
      const claim = (owner: string) => async () => {
        const ask = { scope: 's', names: ['job', 'other'], owner, ttlMs: 60_000, timeoutMs: 60_000 }
        return (await acquireAll(store, { ...ask, skipLocked: true })).map(({ name }) => name)
      }
      return { ann: claim('ann'), ben: claim('ben') }
    },
    without: FOR_UPDATE,
    breaks: 'lost update',
  },
  'a delayed message is made ready once': {
    tasks: (store) => {
      const { name } = createOutbox(store, { name: 'o' })
      const move = () => {
        const partitions = { ids: () => [0], markAll: () => new Set() }
        return new LaterMover({ store, outbox: { name } } as never, partitions as never).move()
      }
      return { ann: move, ben: move }
    },
    without: FOR_UPDATE,
    breaks: 'lost update',
  },
  'a refusal by the broker is counted once': {
    tasks: (store) => {
      const row = { sequence: 1, partition: 0, attempts: 0 } as ReadyRow
      const failure = { row, error: new Error('refused'), fate: 'wait', delayMs: 10 } as const
      const record = async () =>
        (await recordFailures(store, { name: 'o', source: 'outbox/o' }, [failure])).length
      return { before: record, successor: record }
    },
    without: FOR_UPDATE,
    breaks: 'lost update',
  },
  'of two that try a lock one gets it': {
    tasks: (store) => {
      // Its own locks in each schedule: holders are numbered, and the number stands in the row.
      const ask = (owner: string) => async () =>
        (await createLocks(store, { owner }).tryAcquire('job', { ttlMs: 60_000 })) !== undefined
      return { ann: ask('ann'), ben: ask('ben') }
    },
    invariant: thereIs('select from holdfast_lock where token = 2'),
    without: { find: /(update "holdfast_lock" [\s\S]*) and until_ms <= [\s\S]*( returning)/, put: '$1$2' },
    breaks: 'invariant violated',
  },
  'a lock that is given back as another one joins is not lost to it': {
    tasks: (store) => ({
      cam: () => storeLocks(store).release({ name: 'held', holder: 'cam' }),
      dan: async () =>
        (
          await storeLocks(store).ask(
            { name: 'held', holder: 'dan', mode: 'exclusive', limit: 1, ttlMs: 60_000 },
            { wait: true },
          )
        ).kind,
    }),
    invariant: thereIs(`select from holdfast_lock where name = 'held'
      and case when until_ms is null then entries @> '[{"h": "dan"}]' else entries = '[]' and holder = 'dan' and until_ms > 0 end`),
    without: { find: /(update "holdfast_lock" set until_ms = 0[\s\S]*) and until_ms > 0/, put: '$1' },
    breaks: 'invariant violated',
  },
}

describe.each(Object.entries(promises))('%s', (name, { tasks, invariant, without, breaks }) => {
  const look = (store: Store) =>
    explore(
      race(name, {
        store: db.pool,
        setup: (on) => on.query(SETUP),
        tasks: tasks(store),
        ...(invariant && { invariant }),
      }),
      { schedules: 300, remedies: false },
    )

  it('in every schedule', async () => {
    const report = await look(postgres(db.pool))
    expect(report.finding && renderReport(report)).toBeUndefined()
    expect(report.coverage.exhaustive).toBe(true)
  })

  it('and not without its mechanism, which the explorer finds', async () => {
    altered.use(without)
    const { finding } = await look(postgres(altered.pool))
    expect(altered.count, `statements that match ${without.find}`).toBeGreaterThan(0)
    expect(finding?.anomaly).toBe(breaks)
  })
})

it('a statement that fails together with its BEGIN is refused, not waited for', async () => {
  const store = postgres(db.pool)
  const open = () =>
    store.transaction(async (tx) => void (await tx.execute(sql`insert into account values (${'b'}, 0, 1)`)))
  const report = await explore(
    race('open', { store, setup: (on) => on.query(SETUP), tasks: { ann: open, ben: open } }),
  )
  expect(report.finding?.explanation).toBeUndefined()
  expect(report.coverage.exhaustive).toBe(true)
})
