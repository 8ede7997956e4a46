import { effectTables, recordEffect } from 'holdfast/effects'
import { fence, fenceTables } from 'holdfast/fence'
import { acquireLease, type Lease, leaseTables, listLeases } from 'holdfast/lease'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { migrate, type Store, sql } from 'holdfast/store'
import { isStopped } from 'holdfast/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { freshPool } from '../support/postgres.ts'
import { startFixture } from '../support/process.ts'
import { openSqlite } from '../support/sqlite.ts'
import { until } from '../support/wait.ts'

/** A process that is stopped past its lease and goes on does not know that time has passed. */
interface Line {
  readonly gained?: string
  readonly lost?: string
  readonly epoch?: number
  readonly looked?: boolean
  readonly isHeld?: boolean
  readonly aborted?: boolean
  readonly wrote?: boolean
  readonly recorded?: string
  readonly refused?: string
  readonly job?: string
  readonly inside?: boolean
  readonly committed?: boolean
}

const TTL_MS = 1_000

const stores: Record<string, () => Promise<{ store: Store; address: string }>> = {
  postgres: async () => {
    const database = await freshPool()
    onTestFinished(() => database.drop())
    return { store: postgres(database.pool), address: database.url }
  },
  sqlite: async () => {
    const folder = tempFolder('zombie')
    const address = folder.file('db.sqlite')
    const store = sqlite({ open: () => openSqlite(address) as never, busyWaitMs: 300 })
    onTestFinished(async () => {
      await store.close()
      folder.remove()
    })
    return { store, address }
  },
}

async function open(name: string) {
  const { store, address } = await (stores[name] as (typeof stores)[string])()
  await migrate(store, [leaseTables, effectTables, fenceTables])
  await store.execute('create table written (epoch bigint not null)')
  const written = async () =>
    (
      await store.transaction(
        (tx) => tx.query<{ epoch: unknown }>('select epoch from written order by epoch'),
        {
          readOnly: true,
        },
      )
    ).map((row) => Number(row.epoch))
  const start = async (query = '') => {
    const child = startFixture<Line>(new URL('./fixtures/holder.ts', import.meta.url), {
      args: [address + query, String(TTL_MS), 'n'],
    })
    await child.line((line) => line.gained === 'n')
    return child
  }
  const stopped = (child: Awaited<ReturnType<typeof start>>) =>
    until(() => isStopped(child.pid), { what: 'it to stop' })
  /** Wherever it is. */
  const freeze = async (child: Awaited<ReturnType<typeof start>>) => {
    child.freeze()
    await stopped(child)
  }
  /** Where it holds nothing at the store. */
  const stop = async (child: Awaited<ReturnType<typeof start>>) => {
    child.send('stop')
    await stopped(child)
  }
  const takeOver = () =>
    until(() => acquireLease(store, { scope: 'zombies', name: 'n', owner: 'successor', ttlMs: 60_000 }), {
      what: 'the take-over',
    })
  const ended = () =>
    until(async () => (await listLeases(store, { scope: 'zombies' })).every((lease) => !lease.running), {
      what: 'the lease to end',
    })
  const present = (lease: Lease) =>
    store.transaction((tx) => fence(tx, { resource: 'account', token: lease.epoch, holder: lease.owner }))
  return { store, written, start, freeze, stop, takeOver, ended, present }
}

describe.each(Object.keys(stores))('zombies on %s', (name) => {
  it('thawed past its lease, it finds the signal fired before it uses the lease again', async () => {
    const { start, stop, takeOver } = await open(name)
    const zombie = await start()
    await stop(zombie)
    const successor = await takeOver()
    expect(successor.epoch).toBe(2n)
    zombie.send('look')
    zombie.thaw()
    const answer = await zombie.line((line) => line.looked === true)
    expect(answer).toMatchObject({ isHeld: false, aborted: true })
    await zombie.line((line) => line.lost === 'n' && line.epoch === 1)
  })

  it('its fenced write lands until the successor has presented its token, and is refused from then on', async () => {
    const { start, stop, takeOver, present, written } = await open(name)
    const zombie = await start()
    await stop(zombie)
    const successor = await takeOver()
    // It ignores its signal. Nothing at the resource knows of the successor yet, so nothing can refuse it.
    zombie.send('write')
    zombie.thaw()
    await zombie.line((line) => line.wrote === true)
    expect(await written()).toEqual([1])

    await present(successor)
    zombie.send('write')
    await zombie.line((line) => line.refused === 'STALE_FENCE')
    expect(await written()).toEqual([1])
  })

  it('its effect is refused from the take-over on, with nothing presented', async () => {
    const { store, start, stop, takeOver } = await open(name)
    const zombie = await start()
    await stop(zombie)
    const lease = await takeOver()
    zombie.send('effect')
    zombie.thaw()
    await zombie.line((line) => line.refused === 'STALE_EPOCH')
    expect(await store.transaction((tx) => recordEffect(tx, { scope: 'e', id: 'x', lease }))).toEqual({
      kind: 'first',
    })
  })
})

it('on PostgreSQL, one stopped inside a transaction blocks its successor until the server ends its session', async () => {
  const { store, start, freeze, takeOver, ended, written } = await open('postgres')
  const zombie = await start('?options=-c%20idle_in_transaction_session_timeout%3D3000')
  zombie.send('inside')
  await zombie.line((line) => line.inside === true)
  await freeze(zombie)
  await ended()
  const early = acquireLease(store, {
    scope: 'zombies',
    name: 'n',
    owner: 'b',
    ttlMs: 60_000,
    timeoutMs: 300,
  })
  await expect(early).rejects.toMatchObject({ code: 'TRANSACTION_TIMEOUT', outcome: 'not-applied' })

  expect((await takeOver()).epoch).toBe(2n)
  zombie.send('go on')
  zombie.thaw()
  await zombie.line((line) => line.refused !== undefined && line.job === 'inside')
  expect(await written()).toEqual([])
  expect(await store.query(sql`select id from ${store.table('effect')}`)).toEqual([])
})

it('on PostgreSQL, one that goes on while its successor waits still commits, and only then is taken over', async () => {
  const { store, start, freeze, takeOver, ended, written } = await open('postgres')
  const slow = await start()
  slow.send('inside')
  await slow.line((line) => line.inside === true)
  await freeze(slow)
  await ended()
  const successor = takeOver()
  await until(
    async () =>
      (
        await store.query(
          "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%for update'",
        )
      ).length,
    { what: 'the successor to wait for the lease row' },
  )
  slow.send('go on')
  slow.thaw()
  await slow.line((line) => line.committed === true)
  expect((await successor).epoch).toBe(2n)
  expect(await written()).toEqual([1])
})

it('on SQLite, one stopped inside a transaction holds the file until it is killed', async () => {
  const { store, start, freeze, takeOver, written } = await open('sqlite')
  const zombie = await start()
  zombie.send('inside')
  await zombie.line((line) => line.inside === true)
  await freeze(zombie)
  const blocked = store.transaction((tx) => tx.execute('insert into written (epoch) values (7)'), {
    retries: 0,
  })
  await expect(blocked).rejects.toMatchObject({ code: 'STORE_BUSY', outcome: 'not-applied' })
  expect(await written()).toEqual([]) // reading goes on
  await zombie.kill()
  expect((await takeOver()).epoch).toBe(2n)
  expect(await written()).toEqual([])
})
