import { memoryBroker } from 'holdfast/testing'
import { describe, expect, it, vi } from 'vitest'
import { PRUNE_MARGIN_MS, pruneBefore } from '../../src/replica/prune.ts'
import type { StoreKind } from '../support/stores.ts'
import { openSite, type Site } from './world.ts'

const KINDS: readonly StoreKind[] = ['sqlite', 'postgres']

const links = (...sites: readonly Site[]) => Object.fromEntries(sites.map((site) => [site.id, site.link]))

describe.each(KINDS)('a running replica on %s', (kind) => {
  it('sends, receives, confirms, and says how old it is', async () => {
    await using berlin = await openSite('berlin', kind)
    await using oslo = await openSite('oslo', kind)
    await using paris = await openSite('paris', kind)
    await using broker = memoryBroker()
    const start = ({ replica }: Site, ...peers: Site[]) =>
      replica.start({ broker, peers: links(...peers), pulseEveryMs: 100, pullEveryMs: 60_000, ttlMs: 20_000 })
    await using _berlin = start(berlin, oslo, paris)
    await using _oslo = start(oslo, berlin, paris)
    await using _paris = start(paris, berlin, oslo)
    const change = await berlin.store.transaction((tx) =>
      berlin.replica.put(tx, 'cart', 'k', ['pear'], { confirm: true }),
    )
    const having = await berlin.replica.confirmed(change, { writtenBy: 3, timeoutMs: 25_000 })
    expect(having).toEqual(['berlin', 'oslo', 'paris'])
    expect((await paris.replica.get(paris.store, 'cart', 'k')).value).toEqual(['pear'])
    await vi.waitUntil(
      async () => (await berlin.replica.staleness()).peers.every(({ heardAgoMs }) => heardAgoMs !== null),
      { timeout: 20_000 },
    )
    await expect.poll(async () => (await paris.replica.status()).staleMs, { timeout: 20_000 }).not.toBeNull()
    expect(await paris.replica.status()).toMatchObject({
      replica: 'paris',
      records: 1,
      tombstones: 0,
      conflicts: 0,
    })
  })

  it('catches up by a pull alone, and only what differs travels', async () => {
    await using berlin = await openSite('berlin', kind)
    await using paris = await openSite('paris', kind)
    for (let i = 0; i < 30; i++) {
      await berlin.store.transaction((tx) => berlin.replica.put(tx, 'cart', `k${i}`, [`${i}`]))
    }
    await berlin.store.transaction((tx) => berlin.replica.delete(tx, 'cart', 'k0'))
    const asked: string[] = []
    const link: Site['link'] = {
      ask: (question, options) => {
        asked.push(question.ask)
        return berlin.link.ask(question, options)
      },
    }
    await using running = paris.replica.start({ peers: { berlin: link }, pullEveryMs: 2_000_000 })
    await vi.waitUntil(() => running.figures().pulls === 1, { timeout: 20_000 })
    // The deletion of a record that is not here brings nothing.
    expect(await paris.replica.status()).toMatchObject({ records: 29, tombstones: 0 })
    asked.length = 0
    await berlin.store.transaction((tx) => berlin.replica.put(tx, 'cart', 'k7', ['new']))
    expect(await running.pull('berlin')).toMatchObject({ merged: 1, refused: 0 })
    expect((await paris.replica.get(paris.store, 'cart', 'k7')).value).toEqual(['new'])
    expect(asked.filter((ask) => ask === 'states')).toHaveLength(1)
    expect(await berlin.replica.staleness()).toMatchObject({
      peers: [{ replica: 'oslo' }, { replica: 'paris', hasOursAgoMs: expect.any(Number) }],
    })
  })

  it('a write that nobody else has is not confirmed, and its outcome is unknown', async () => {
    await using berlin = await openSite('berlin', kind)
    const change = await berlin.store.transaction((tx) =>
      berlin.replica.put(tx, 'cart', 'k', [], { confirm: true }),
    )
    await expect(berlin.replica.confirmed(change, { writtenBy: 2, timeoutMs: 50 })).rejects.toMatchObject({
      code: 'REPLICA_NOT_CONFIRMED',
      outcome: 'unknown',
      members: ['berlin'],
    })
    expect(await berlin.replica.confirmed(change, { writtenBy: 1 })).toEqual(['berlin'])
    await expect(berlin.replica.confirmed(change, { writtenBy: 4 })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    })
  })

  it('a peer that does not answer is reported, and the replica goes on', async () => {
    await using berlin = await openSite('berlin', kind)
    const link = { ask: async () => ({ replica: 'paris', atMs: 1, sums: ['?'] }) }
    await using running = berlin.replica.start({ peers: { paris: link }, pullEveryMs: 2_000_000 })
    await expect(running.pull('paris')).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
    const down = { ask: () => Promise.reject(new Error('down')) }
    await using other = berlin.replica.start({ peers: { paris: down }, pullEveryMs: 2_000_000 })
    await expect(other.pull('paris')).rejects.toMatchObject({ code: 'REPLICA_PEER_UNAVAILABLE' })
    await berlin.store.transaction((tx) => berlin.replica.put(tx, 'cart', 'k', ['still']))
    expect((await berlin.replica.get(berlin.store, 'cart', 'k')).value).toEqual(['still'])
  })

  it('a deleted record goes once all have pulled it, and does not come back by an old message', async () => {
    await using berlin = await openSite('berlin', kind)
    await using oslo = await openSite('oslo', kind)
    await using paris = await openSite('paris', kind)
    await berlin.store.transaction((tx) => berlin.replica.put(tx, 'cart', 'k', ['old']))
    const [old] = await berlin.sent()
    for (const site of [oslo, paris]) await site.receive(old)
    await berlin.store.transaction((tx) => berlin.replica.delete(tx, 'cart', 'k'))
    // As if it had been deleted two days ago.
    await berlin.store.execute('update holdfast_replica_record set changed_at_ms = changed_at_ms - 172800000')
    const start = ({ replica }: Site, peer: Site) =>
      replica.start({ peers: links(peer), pullEveryMs: 2_000_000 })
    await using pruning = berlin.replica.start({
      peers: links(oslo),
      pullEveryMs: 2_000_000,
      pruneEveryMs: 20,
    })
    await using fromOslo = start(oslo, berlin)
    await fromOslo.pull('berlin')
    expect(await berlin.replica.status()).toMatchObject({ tombstones: 1 })
    await using fromParis = start(paris, berlin)
    await fromParis.pull('berlin')
    await vi.waitUntil(async () => (await berlin.replica.status()).tombstones === 0, { timeout: 20_000 })
    expect(pruning.figures().pullsFailed).toBe(0)

    const late = {
      ...(old as object),
      at: `${(Date.now() - 90_000_000).toString(16).padStart(12, '0')}-0000-berlin`,
    }
    const receive = (payload: unknown) =>
      berlin.store.transaction(async (tx) => {
        const given = { ...(payload as object), from: 'paris' }
        return (await berlin.replica.receive(tx, given, { messageAgeMaxMs: 86_400_000 }))?.kind
      })
    expect(await receive(late)).toBe('too-old')
    expect((await berlin.replica.get(berlin.store, 'cart', 'k')).exists).toBe(false)

    // Written anew, its dot is above those that went, so that members which still know the deletion take it.
    await berlin.store.transaction((tx) => berlin.replica.put(tx, 'cart', 'k', ['new']))
    for (const message of (await berlin.sent()).slice(-1)) expect(await oslo.receive(message)).toBe('merged')
    expect((await oslo.replica.get(oslo.store, 'cart', 'k')).values).toEqual([['new']])
  })
})

describe('pruneBefore', () => {
  const members = ['a', 'b', 'c']
  it.each([
    [[], undefined],
    [[{ replica: 'b', hasOursAtMs: 5_000_000 }], undefined],
    [
      [
        { replica: 'b', hasOursAtMs: 5_000_000 },
        { replica: 'c', hasOursAtMs: null },
      ],
      undefined,
    ],
    [
      [
        { replica: 'b', hasOursAtMs: 5_000_000 },
        { replica: 'c', hasOursAtMs: 4_000_000 },
      ],
      3_999_000 - PRUNE_MARGIN_MS,
    ],
    [
      [
        { replica: 'b', hasOursAtMs: 5 },
        { replica: 'c', hasOursAtMs: 9 },
        { replica: 'x', hasOursAtMs: null },
      ],
      -995 - PRUNE_MARGIN_MS,
    ],
  ])('of %j is %s', (peers, before) => {
    expect(pruneBefore(peers, { members, id: 'a', messageAgeMaxMs: 1_000 })).toBe(before)
  })
})
