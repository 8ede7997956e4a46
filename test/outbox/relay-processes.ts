/** Relays in processes of their own, which are killed, frozen and thawed. */
import { type Store, sql } from 'holdfast'
import { listLeases } from 'holdfast/lease'
import { createOutbox } from 'holdfast/outbox'
import { isStopped } from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import { type Fixture, startFixture } from '../support/process.ts'
import type { StoreKind } from '../support/stores.ts'
import { until } from '../support/wait.ts'
import { countRows, useStore } from './stores.ts'

/** Short, since tests wait for take-overs. */
const TTL_MS = 1_000

const IDLE_BOUND = { PGOPTIONS: '-c idle_in_transaction_session_timeout=2s' }

/** Ends the session in which the frozen process was renewing its lease, if it was. */
const endFrozenKeeper = sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'zombie' and datname = current_database()
  and pid in (select pid from pg_locks where relation = to_regclass('holdfast_lease') and mode in ('RowShareLock', 'RowExclusiveLock'))`

/** The fixture's batch, four times. */
const IN_HAND_MAX = 80

interface Scene {
  readonly start: (
    failpoints?: string,
    env?: Readonly<Record<string, string>>,
  ) => Fixture<{ event: string; owner: string }>
  readonly publish: (count: number) => Promise<void>
  readonly holders: () => Promise<Set<string>>
  readonly drained: () => Promise<unknown>
  readonly audit: () => Promise<{ copies: number }>
  readonly store: () => Store
}

/** A database for each test, and what the tests do with it. */
function prepare(kind: StoreKind, ttlMs: number): Scene {
  let store: Store
  let at: string
  useStore(kind, async (opened) => {
    ;({ store, at } = opened)
    const number =
      kind === 'postgres'
        ? 'bigint generated always as identity primary key'
        : 'integer primary key autoincrement'
    published = 0
    await store.execute(`create table sink (number ${number}, id text, key text, n integer, relay text)`)
  })

  const start: Scene['start'] = (failpoints = '', env = {}): Fixture<{ event: string; owner: string }> =>
    startFixture(new URL('./fixtures/relay-process.ts', import.meta.url), {
      args: [kind, at, String(ttlMs)],
      env: { HOLDFAST_FAILPOINTS: failpoints, ...env },
    })

  let published = 0
  async function publish(count: number): Promise<void> {
    const outbox = createOutbox(store)
    while (count > 0) {
      const batch = Math.min(25, count)
      await store.transaction(async (tx) => {
        for (let i = 0; i < batch; i++) {
          const n = published++
          await outbox.publish(tx, { topic: 't', key: `k${n % 40}`, payload: { n } })
        }
      })
      count -= batch
    }
  }
  const holders = async (): Promise<Set<string>> => {
    const leases = await listLeases(store, { scope: 'outbox/default' })
    const running = leases.filter((lease) => lease.running)
    return running.length === 16 ? new Set(running.map((lease) => lease.owner)) : new Set()
  }
  const drained = (): Promise<unknown> =>
    until(async () => (await countRows(store, 'outbox')) === 0, {
      deadlineMs: 20_000,
      what: 'the outbox to be empty',
    })

  /** Every message arrived, and the first arrivals of each key are in the order of publishing. */
  async function audit(): Promise<{ copies: number }> {
    const rows = await store.query<{ key: string; n: number }>(sql`select key, n from sink order by number`)
    const first = new Map<string, Set<number>>()
    for (const { key, n } of rows) first.set(key, (first.get(key) ?? new Set()).add(Number(n)))
    const arrived = [...first.values()].reduce((sum, numbers) => sum + numbers.size, 0)
    expect(arrived).toBe(published)
    for (const numbers of first.values()) expect([...numbers]).toEqual([...numbers].sort((a, b) => a - b))
    return { copies: rows.length - arrived }
  }
  return { start, publish, holders, drained, audit, store: () => store }
}

export function describeRelaySharing(kind: StoreKind): void {
  describe(`relay processes on ${kind}`, () => {
    // Long, so that on a busy machine no lease is lost, after which copies are allowed.
    const { start, publish, holders, drained, audit, store } = prepare(kind, 10_000)

    it.each([2, 4])(
      '%i processes share the partitions, and nothing comes twice or out of order',
      async (count) => {
        const relays = Array.from({ length: count }, () => start())
        await until(async () => (await holders()).size === count, {
          deadlineMs: 20_000,
          what: 'a share for each',
        })
        await publish(1_000)
        await drained()
        expect(await audit()).toEqual({ copies: 0 })
        const [row] = await store().query<{ n: unknown }>('select count(distinct relay) as n from sink')
        expect(Number(row?.n)).toBe(count)
        for (const relay of relays) await relay.kill()
      },
    )
  })
}

export function describeRelayCrashes(kind: StoreKind): void {
  describe(`crashes of relay processes on ${kind}`, () => {
    const { start, publish, holders, drained, audit } = prepare(kind, TTL_MS)

    it('after SIGKILL another process takes over within the lease, in order', async () => {
      const first = start()
      await until(async () => (await holders()).size === 1, { deadlineMs: 20_000 })
      const publishing = publish(2_000)
      await first.line((line) => line.event === 'stored')
      await first.kill()
      await publishing
      start()
      await drained()
      await audit()
    })

    const places = [
      'outbox.relay.read',
      'outbox.relay.published',
      'outbox.relay.deleting',
      'outbox.relay.deleted',
    ]
    it.each(places)('a crash at %s loses nothing', async (place) => {
      await publish(300)
      const { exited } = start(`${place}=kill@2`)
      expect((await exited).signal).toBe('SIGKILL')
      start()
      await drained()
      const { copies } = await audit()
      if (place === 'outbox.relay.published') expect(copies).toBeGreaterThan(0)
      if (place === 'outbox.relay.read') expect(copies).toBeLessThanOrEqual(IN_HAND_MAX)
    })
  })
}

export function describeRelayZombies(kind: StoreKind): void {
  describe(`frozen relay processes on ${kind}`, () => {
    const { start, publish, holders, drained, audit, store } = prepare(kind, TTL_MS)

    const freezes =
      kind === 'postgres'
        ? ['outbox.relay.read', 'outbox.relay.published', 'outbox.relay.deleting']
        : // Elsewhere the frozen process may hold the file, which it then does until it is killed.
          ['outbox.relay.read']
    it.each(freezes)(
      'a process frozen at %s past its lease repeats at most what it had in hand',
      async (place) => {
        // Its lease keeper may freeze in a transaction as well, and then keeps the lease's rows locked; this is the
        // setting that bounds it. The third scene is about such locks on messages, so there they stay, and the keeper's
        // session alone is ended.
        const locksStay = place === 'outbox.relay.deleting'
        const zombie = start(`${place}=stop@1`, locksStay ? { PGAPPNAME: 'zombie' } : IDLE_BOUND)
        await until(async () => (await holders()).size === 1, { deadlineMs: 20_000, what: 'a holder' })
        const publishing = publish(400)
        await until(() => isStopped(zombie.pid), { what: 'the process to freeze' })
        await publishing
        start()
        await until(
          async () => {
            if (locksStay) await store().query(endFrozenKeeper)
            return (await countRows(store(), 'outbox')) <= IN_HAND_MAX
          },
          { deadlineMs: 20_000, what: 'the successor' },
        )
        await publish(100)
        zombie.thaw()
        await publish(100)
        await drained()
        const { copies } = await audit()
        expect(copies).toBeLessThanOrEqual(IN_HAND_MAX)
      },
    )
  })
}
