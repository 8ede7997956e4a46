import { upDownCounter } from 'holdfast/causality'
import { createReplica } from 'holdfast/replica'
import { describe, expect, it, vi } from 'vitest'
import { freshStore, type StoreKind } from '../support/stores.ts'
import { COLLECTIONS, type Member, openSite, type Site } from './world.ts'

const KINDS: readonly StoreKind[] = ['sqlite', 'postgres']

/** So that it is known who wrote last. */
async function nextMillisecond(): Promise<void> {
  const ms = Date.now()
  await vi.waitUntil(() => Date.now() > ms, { interval: 1 })
}

/** All that each committed reaches the others, in that order. */
async function exchange(...sites: readonly Site[]): Promise<void> {
  for (const from of sites) {
    for (const message of await from.sent()) {
      for (const to of sites) if (to !== from) await to.receive(message)
    }
  }
}

describe.each(KINDS)('records of replicas on %s', (kind) => {
  const open = (id: Member): Promise<Site> => openSite(id, kind)

  it('are read at the other store once the change has come', async () => {
    await using berlin = await open('berlin')
    await using paris = await open('paris')
    await berlin.store.transaction((tx) => berlin.replica.put(tx, 'customer', 'c1', { name: 'Ada' }))
    expect((await paris.replica.get(paris.store, 'customer', 'c1')).exists).toBe(false)
    await exchange(berlin, paris)
    expect((await paris.replica.get(paris.store, 'customer', 'c1')).value).toEqual({ name: 'Ada' })
    await paris.store.transaction((tx) => paris.replica.delete(tx, 'customer', 'c1'))
    await exchange(paris, berlin)
    expect((await berlin.replica.get(berlin.store, 'customer', 'c1')).exists).toBe(false)
  })

  it('send nothing when the transaction rolls back', async () => {
    await using berlin = await open('berlin')
    const put = berlin.store.transaction(async (tx) => {
      await berlin.replica.put(tx, 'cart', 'k', ['pear'])
      expect((await berlin.replica.get(tx, 'cart', 'k')).value).toEqual(['pear'])
      throw new Error('no')
    })
    await expect(put).rejects.toThrow('no')
    expect(await berlin.sent()).toEqual([])
    expect((await berlin.replica.get(berlin.store, 'cart', 'k')).exists).toBe(false)
  })

  it('written apart: the last writer wins, and the log of both stores has both sides', async () => {
    await using berlin = await open('berlin')
    await using paris = await open('paris')
    await berlin.store.transaction((tx) => berlin.replica.put(tx, 'customer', 'c', { name: 'first' }))
    await nextMillisecond()
    await paris.store.transaction((tx) => paris.replica.put(tx, 'customer', 'c', { name: 'second' }))
    await exchange(berlin, paris)
    for (const { replica, store } of [berlin, paris]) {
      expect((await replica.get(store, 'customer', 'c')).value).toEqual({ name: 'second' })
      const [conflict, ...others] = await replica.conflicts()
      expect(others).toEqual([])
      expect(conflict).toMatchObject({
        collection: 'customer',
        key: 'c',
        policy: 'last-writer-wins',
        sides: [
          { replica: 'berlin', value: { name: 'first' } },
          { replica: 'paris', value: { name: 'second' } },
        ],
        decision: { kind: 'value', value: { name: 'second' } },
      })
      expect(await replica.conflict(conflict?.id ?? '')).toEqual(conflict)
    }
    const [one] = await berlin.replica.conflicts()
    const [same] = await paris.replica.conflicts()
    expect(one?.id).toBe(same?.id)
  })

  it('written apart: siblings are handed to the reader, and a write that has seen both ends them', async () => {
    await using berlin = await open('berlin')
    await using paris = await open('paris')
    await berlin.store.transaction((tx) => berlin.replica.put(tx, 'cart', 'k', ['pear']))
    await paris.store.transaction((tx) => paris.replica.put(tx, 'cart', 'k', ['plum']))
    await exchange(berlin, paris)
    const read = await paris.replica.get(paris.store, 'cart', 'k')
    expect(read).toMatchObject({ exists: true, value: undefined, values: [['pear'], ['plum']] })
    const { context } = read
    await paris.store.transaction((tx) => paris.replica.put(tx, 'cart', 'k', ['pear', 'plum'], { context }))
    await exchange(paris, berlin)
    expect((await berlin.replica.get(berlin.store, 'cart', 'k')).value).toEqual(['pear', 'plum'])
  })

  it('written apart: counters add up, and no conflict is noted', async () => {
    await using berlin = await open('berlin')
    await using paris = await open('paris')
    const add = ({ store, replica }: Site, by: number) =>
      store.transaction((tx) =>
        replica.update(tx, 'stock', 's', (state) =>
          upDownCounter.add(state ?? upDownCounter.empty, replica.id, by),
        ),
      )
    await add(berlin, 5)
    await add(paris, -2)
    await add(berlin, 1)
    await exchange(berlin, paris)
    for (const { replica, store } of [berlin, paris]) {
      expect(upDownCounter.total((await replica.get(store, 'stock', 's')).value ?? upDownCounter.empty)).toBe(
        4n,
      )
      expect(await replica.conflicts()).toEqual([])
    }
  })

  it('a merge function that is not commutative reads the same everywhere', async () => {
    await using berlin = await open('berlin')
    await using oslo = await open('oslo')
    await using paris = await open('paris')
    for (const { store, replica, id } of [paris, oslo, berlin]) {
      await store.transaction((tx) => replica.put(tx, 'note', 'n', id))
    }
    const messages = (await Promise.all([paris, oslo, berlin].map((site) => site.sent()))).flat()
    for (const message of messages) await berlin.receive(message)
    for (const message of messages.toReversed()) await paris.receive(message)
    for (const { store, replica } of [berlin, paris]) {
      expect((await replica.get(store, 'note', 'n')).value).toBe('berlin then oslo then paris')
    }
  })

  it('a deletion and a write that had not seen it: the later one stands, or the write', async () => {
    await using berlin = await open('berlin')
    await using paris = await open('paris')
    for (const name of ['customer', 'cart'] as const) {
      await berlin.store.transaction((tx) =>
        berlin.replica.put(tx, name, 'x', (name === 'cart' ? [] : { name: 'x' }) as never),
      )
    }
    await exchange(berlin, paris)
    for (const name of ['customer', 'cart'] as const) {
      await berlin.store.transaction((tx) =>
        berlin.replica.put(tx, name, 'x', (name === 'cart' ? ['kept'] : { name: 'y' }) as never),
      )
    }
    await nextMillisecond()
    for (const name of ['customer', 'cart'] as const) {
      await paris.store.transaction((tx) => paris.replica.delete(tx, name, 'x'))
    }
    await exchange(berlin, paris)
    for (const { store, replica } of [berlin, paris]) {
      expect((await replica.get(store, 'customer', 'x')).exists).toBe(false)
      expect((await replica.get(store, 'cart', 'x')).value).toEqual(['kept'])
    }
  })

  it('a stale context is refused or becomes a sibling, as the collection says', async () => {
    await using berlin = await open('berlin')
    const { store, replica } = berlin
    const first = await store.transaction((tx) => replica.put(tx, 'customer', 'c', { name: '1' }))
    const second = await store.transaction((tx) =>
      replica.put(tx, 'customer', 'c', { name: '2' }, { context: first.context }),
    )
    await expect(
      store.transaction((tx) => replica.put(tx, 'customer', 'c', { name: '3' }, { context: first.context })),
    ).rejects.toMatchObject({ code: 'REPLICA_STALE_CONTEXT', outcome: 'not-applied' })
    expect((await replica.get(store, 'customer', 'c')).value).toEqual({ name: '2' })
    await store.transaction((tx) =>
      replica.put(tx, 'customer', 'c', { name: '3' }, { context: second.context }),
    )

    const cart = await store.transaction((tx) => replica.put(tx, 'cart', 'k', ['a']))
    for (const item of ['b', 'c']) {
      await store.transaction((tx) => replica.put(tx, 'cart', 'k', [item], { context: cart.context }))
    }
    expect((await replica.get(store, 'cart', 'k')).values).toEqual([['b'], ['c']])
    expect((await replica.conflicts({ collection: 'cart' }))[0]?.sides).toHaveLength(2)
  })

  it('a reader or writer that has seen more than is here is told so, or waits', async () => {
    await using berlin = await open('berlin')
    await using paris = await open('paris')
    const { context } = await berlin.store.transaction((tx) => berlin.replica.put(tx, 'cart', 'k', ['pear']))
    const behind = { code: 'REPLICA_BEHIND', outcome: 'not-applied' }
    await expect(paris.replica.get(paris.store, 'cart', 'k', { atLeast: context })).rejects.toMatchObject(
      behind,
    )
    await expect(
      paris.store.transaction((tx) => paris.replica.put(tx, 'cart', 'k', ['plum'], { context })),
    ).rejects.toMatchObject(behind)
    const waiting = paris.replica.get(paris.store, 'cart', 'k', { atLeast: context, waitMs: 20_000 })
    await exchange(berlin, paris)
    expect((await waiting).value).toEqual(['pear'])
    await paris.store.transaction((tx) => paris.replica.put(tx, 'cart', 'k', ['plum'], { context }))
    expect((await paris.replica.get(paris.store, 'cart', 'k')).value).toEqual(['plum'])
  })

  it('writers of one record at one store stand in a row', async () => {
    await using berlin = await open('berlin')
    const { store, replica } = berlin
    await Promise.all(
      Array.from({ length: 12 }, () =>
        store.transaction((tx) =>
          replica.update(tx, 'stock', 's', (state) =>
            upDownCounter.add(state ?? upDownCounter.empty, 'berlin', 1),
          ),
        ),
      ),
    )
    const { value, versions } = await replica.get(store, 'stock', 's')
    expect(upDownCounter.total(value ?? upDownCounter.empty)).toBe(12n)
    expect(versions).toMatchObject([{ replica: 'berlin', count: 12 }])
  })

  it('a store keeps its id', async () => {
    await using berlin = await open('berlin')
    await berlin.store.transaction((tx) => berlin.replica.put(tx, 'cart', 'k', []))
    const other = createReplica(berlin.store, {
      id: 'paris',
      members: ['berlin', 'paris'],
      collections: COLLECTIONS,
    })
    await expect(berlin.store.transaction((tx) => other.put(tx, 'cart', 'k', []))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    })
  })

  it('messages that are none, or stamped too far ahead, are refused and change nothing', async () => {
    await using berlin = await open('berlin')
    await using paris = await open('paris')
    await berlin.store.transaction((tx) => berlin.replica.put(tx, 'cart', 'k', ['pear']))
    const [change] = (await berlin.sent()) as [Record<string, unknown>]
    const state = change.state as { context: unknown; alive: [string, number, { at: string }][] }
    const future = `${(Date.now() + 3_600_000).toString(16).padStart(12, '0')}-0000-berlin`
    const ahead = { ...state, alive: state.alive.map(([r, n, v]) => [r, n, { ...v, at: future }]) }
    for (const [message, code] of [
      [{}, 'PAYLOAD_INVALID'],
      [null, 'PAYLOAD_INVALID'],
      [{ ...change, v: 2 }, 'PAYLOAD_INVALID'],
      [{ ...change, key: '' }, 'PAYLOAD_INVALID'],
      [{ ...change, at: 'yesterday' }, 'PAYLOAD_INVALID'],
      [{ ...change, state: { ...state, context: [] } }, 'PAYLOAD_INVALID'],
      [{ ...change, state: { ...state, alive: [['berlin', 1, {}]] } }, 'PAYLOAD_INVALID'],
      [{ ...change, collection: 'stock' }, 'PAYLOAD_INVALID'],
      [{ ...change, state: ahead }, 'CLOCK_DRIFT'],
    ] as const) {
      await expect(paris.receive(message), JSON.stringify(message)).rejects.toMatchObject({ code })
    }
    expect((await paris.replica.status()).records).toBe(0)
    expect(await paris.receive({ ...change, added: 'later' })).toBe('merged')
    expect(await paris.receive(change)).toBe('known')
  })
})

describe('createReplica', () => {
  it('names every problem at once', async () => {
    await using opened = await freshStore('sqlite')
    const make = () =>
      createReplica(opened.store, {
        id: '',
        members: ['a', 'a'],
        collections: { x: { merge: 'newest', onStale: 'ask', size: 1 } as never },
        valueLimitBytes: -1,
        driftMaxMs: Number.NaN,
        sett: 'x',
      } as never)
    expect(make).toThrow(
      /sett.*id must.*twice.*must name all.*x"\].size.*merge must.*onStale.*valueLimitBytes.*driftMaxMs/,
    )
  })

  it('refuses values that JSON does not hold, that are too large, and collections that are not declared', async () => {
    await using berlin = await openSite('berlin')
    const { store, replica } = berlin
    const put = (name: string, value: unknown) =>
      store.transaction((tx) => replica.put(tx, name as 'cart', 'k', value as never))
    await expect(put('cart', [1n])).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
    await expect(put('cart', ['x'.repeat(70_000)])).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
    await expect(put('stock', 5)).rejects.toThrow()
    await expect(put('carts', [])).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    await expect(put('cart', undefined)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    await expect(
      store.transaction((tx) => replica.put(tx, 'cart', 'k', [], { context: 'made up' })),
    ).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
    expect((await replica.status()).records).toBe(0)
  })
})
