import { createReplica } from 'holdfast/replica'
import { memoryBroker, seededRandom } from 'holdfast/testing'
import { describe, expect, it, vi } from 'vitest'
import type { StoreKind } from '../support/stores.ts'
import { COLLECTIONS, MEMBERS, type Member, openSite, type Site } from './world.ts'

const KINDS: readonly StoreKind[] = ['sqlite', 'postgres']

describe.each(KINDS)('three replicas on %s, one of which is gone', (kind) => {
  it.each(MEMBERS)(
    'without %s reads and writes go on, and nothing that two confirmed is lost',
    async (victim) => {
      await using broker = memoryBroker()
      await using berlin = await openSite('berlin', kind)
      await using oslo = await openSite('oslo', kind)
      await using paris = await openSite('paris', kind)
      const sites = [berlin, oslo, paris]
      const gone = new Set<Member>()
      const linkTo = (site: Site): Site['link'] => ({
        ask: (question, options) =>
          gone.has(site.id) || gone.has(question.from as Member)
            ? Promise.reject(new Error('gone'))
            : site.link.ask(question, options),
      })
      const start = ({ replica, id }: Site) =>
        replica.start({
          broker,
          peers: Object.fromEntries(
            sites.filter((site) => site.id !== id).map((site) => [site.id, linkTo(site)]),
          ),
          pullEveryMs: 100,
          pulseEveryMs: 200,
          ttlMs: 20_000,
        })
      const running = new Map(sites.map((site) => [site.id, start(site)]))
      const random = seededRandom(11)
      const confirmed: string[] = []
      const write = async (i: number, among: readonly Site[]): Promise<void> => {
        const { store, replica } = among[Math.floor(random() * among.length)] as Site
        const change = await store.transaction((tx) =>
          replica.put(tx, 'cart', `k${i}`, [`v${i}`], { confirm: true }),
        )
        await replica.confirmed(change, { writtenBy: 2, timeoutMs: 20_000 })
        confirmed.push(`k${i}`)
      }
      try {
        await Promise.all(Array.from({ length: 12 }, (_, i) => write(i, sites)))
        // Its process and its disk: nothing of it is asked again.
        gone.add(victim)
        await running.get(victim)?.stop({ drainMs: 0 })
        const left = sites.filter((site) => site.id !== victim)
        const before = Date.now()
        await Promise.all(Array.from({ length: 12 }, (_, i) => write(100 + i, left)))
        for (const { store, replica } of left) {
          await vi.waitUntil(
            async () => {
              const found = await Promise.all(confirmed.map((key) => replica.get(store, 'cart', key)))
              return found.every(({ exists }) => exists)
            },
            { timeout: 20_000 },
          )
          const { peers, staleMs } = await replica.staleness()
          const lost = peers.find((peer) => peer.replica === victim)
          // What it says of the one that is gone is at least as old as its absence.
          expect(staleMs ?? Number.POSITIVE_INFINITY).toBeGreaterThanOrEqual(Date.now() - before - 1_000)
          expect(lost).toMatchObject({ replica: victim })
        }
      } finally {
        for (const handle of running.values()) await handle.stop()
      }
    },
  )
})

it('a replica that was away catches up when it is back', async () => {
  await using berlin = await openSite('berlin', 'sqlite')
  await using paris = await openSite('paris', 'sqlite')
  for (let i = 0; i < 20; i++) {
    await berlin.store.transaction((tx) => berlin.replica.put(tx, 'cart', `k${i}`, [`v${i}`]))
    await paris.store.transaction((tx) => paris.replica.put(tx, 'cart', `k${i + 10}`, [`w${i + 10}`]))
  }
  // No message of that time is left; each pulls from the other.
  await using fromBerlin = paris.replica.start({ peers: { berlin: berlin.link }, pullEveryMs: 2_000_000 })
  await using fromParis = berlin.replica.start({ peers: { paris: paris.link }, pullEveryMs: 2_000_000 })
  await fromBerlin.pull('berlin')
  await fromParis.pull('paris')
  for (const { store, replica } of [berlin, paris]) {
    expect((await replica.status()).records).toBe(30)
    expect((await replica.get(store, 'cart', 'k15')).values).toEqual([['v15'], ['w15']])
  }
  expect(await fromBerlin.pull('berlin')).toMatchObject({ differing: 0, merged: 0 })
})

it('a store that has forgotten its own writes is reported', async () => {
  await using berlin = await openSite('berlin', 'sqlite')
  await using paris = await openSite('paris', 'sqlite')
  const errors: string[] = []
  const log = { debug() {}, info() {}, warn() {}, error: (text: string) => void errors.push(text) }
  const again = createReplica(berlin.store, { id: 'berlin', members: MEMBERS, collections: COLLECTIONS, log })
  await berlin.store.transaction((tx) => berlin.replica.put(tx, 'cart', 'k', ['before']))
  for (const message of await berlin.sent()) await paris.receive(message)
  await paris.store.transaction((tx) => paris.replica.put(tx, 'cart', 'k', ['there']))
  await berlin.store.execute('delete from holdfast_replica_record') // as a backup from before would be
  const [change] = await paris.sent()
  await berlin.store.transaction((tx) => again.receive(tx, change))
  expect(errors).toEqual([expect.stringContaining('restored from a backup')])
})
