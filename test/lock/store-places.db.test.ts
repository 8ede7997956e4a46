/** Where the entries of a stored lock stand: one that is alone in the columns of its row, others in the document. */
import { randomUUID } from 'node:crypto'
import type { Store } from 'holdfast'
import { type LockEngine, type LockRequest, storeLocks } from 'holdfast/lock'
import { seededRandom } from 'holdfast/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { freshStore, storeKinds } from '../support/stores.ts'
import { type ModelEntry, ModelLock } from './model-lock.ts'
import { passTime, request, storedLock, TTL_MS } from './stored-lock.ts'

describe.each(storeKinds)('a lock on %s', (kind) => {
  let opened: Awaited<ReturnType<typeof freshStore>>
  let store: Store
  /** As two processes have them. */
  let a: LockEngine
  let b: LockEngine
  let name: string
  beforeAll(async () => {
    opened = await freshStore(kind)
    store = opened.store
  })
  afterAll(() => opened[Symbol.asyncDispose]())
  beforeEach(() => {
    a = storeLocks(store)
    b = storeLocks(store)
    name = randomUUID()
  })
  const stored = () => storedLock(store, name)
  const join = { wait: true }
  const grant = async (engine: LockEngine, asked: LockRequest): Promise<bigint> => {
    const answer = await engine.ask(asked, join)
    if (answer.kind !== 'held') throw new Error(answer.kind)
    return answer.token
  }

  it('stands in the columns while it is held by one, as often as it is taken', async () => {
    for (const token of [1n, 2n, 3n]) {
      const mine = request(name)
      expect(await grant(a, mine)).toBe(token)
      expect(await stored()).toEqual({ place: 'columns', token, holders: [mine.holder] })
      expect(await a.show(name)).toMatchObject({
        holders: [{ holder: mine.holder, token, mode: 'exclusive' }],
        waiters: [],
      })
      expect(await a.release(mine)).toBe(true)
      expect(await a.release(mine)).toBe(false)
      expect(await stored()).toEqual({ place: 'columns', token, holders: [] })
      expect(await a.show(name)).toBeUndefined()
    }
  })

  it('moves into the document when a second one comes, and is in the columns again when all have gone', async () => {
    const [one, two, three] = [request(name), request(name), request(name)]
    await grant(a, one)
    expect((await b.ask(two, join)).kind).toBe('waiting')
    expect(await stored()).toEqual({ place: 'document', token: 2n, holders: [one.holder, two.holder] })
    const info = await a.show(name)
    expect(info?.holders).toMatchObject([{ holder: one.holder, token: 1n, mode: 'exclusive' }])
    expect(info?.waiters).toMatchObject([{ holder: two.holder, token: 2n, mode: 'exclusive' }])
    expect(await a.release(one)).toBe(true)
    expect(await stored()).toEqual({ place: 'document', token: 2n, holders: [two.holder] })
    expect(await grant(b, two)).toBe(2n)
    expect(await b.release(two)).toBe(true)
    expect(await stored()).toEqual({ place: 'columns', token: 2n, holders: [] })
    expect(await grant(b, three)).toBe(3n)
    expect(await stored()).toEqual({ place: 'columns', token: 3n, holders: [three.holder] })
  })

  it('a waiter that gives up leaves the holder where it is', async () => {
    const [one, two] = [request(name), request(name)]
    await grant(a, one)
    await b.ask(two, join)
    expect(await b.release(two)).toBe(true)
    expect(await stored()).toEqual({ place: 'document', token: 2n, holders: [one.holder] })
    expect(await grant(a, one)).toBe(1n)
    expect(await a.renew(one)).toBeDefined()
    expect(await a.release(one)).toBe(true)
    expect(await stored()).toMatchObject({ place: 'columns', holders: [] })
  })

  it.each([
    ['shared', Number.POSITIVE_INFINITY],
    ['semaphore', 2],
  ] as const)('a %s one lets its like in beside it, and no other', async (mode, limit) => {
    const like = (): LockRequest => request(name, { mode, limit })
    const [one, two] = [like(), like()]
    expect(await grant(a, one)).toBe(1n)
    expect(await stored()).toEqual({ place: 'columns', token: 1n, holders: [one.holder] })
    expect((await a.show(name))?.holders).toMatchObject([{ holder: one.holder, mode, token: 1n }])
    expect((await b.ask(request(name), { wait: false })).kind).toBe('refused')
    expect(await stored()).toEqual({ place: 'columns', token: 1n, holders: [one.holder] })
    const answer = await b.ask(two, { wait: false })
    expect(answer).toMatchObject({ kind: 'held', token: 2n })
    expect(await stored()).toEqual({ place: 'document', token: 2n, holders: [one.holder, two.holder] })
    expect((await b.ask(like(), { wait: false })).kind).toBe(mode === 'shared' ? 'held' : 'refused')
    expect((await b.ask(request(name), join)).kind).toBe('waiting')
    expect(await a.release(one)).toBe(true)
    expect(await b.release(two)).toBe(true)
  })

  it('whose lease has ended in the columns goes to the next with a higher token', async () => {
    const [old, next] = [request(name), request(name)]
    await grant(a, old)
    await passTime(store, TTL_MS + 1)
    expect(await a.show(name)).toBeUndefined()
    expect(await a.list({ limit: 1_000 })).not.toContainEqual(expect.objectContaining({ name }))
    expect(await a.renew(old)).toBeUndefined()
    expect(await grant(b, next)).toBe(2n)
    expect(await stored()).toEqual({ place: 'columns', token: 2n, holders: [next.holder] })
    expect(await a.renew(old)).toBeUndefined()
    expect(await a.release(old)).toBe(false)
    expect((await a.ask(old, { wait: false })).kind).toBe('refused')
    expect(await b.renew(next)).toBeDefined()
    expect(await b.release(next)).toBe(true)
  })

  it('whose leases have all ended in the document goes to the next, in the columns', async () => {
    const next = request(name)
    await grant(a, request(name))
    await a.ask(request(name), join)
    await passTime(store, TTL_MS + 1)
    expect(await stored()).toMatchObject({ place: 'document' })
    expect(await grant(b, next)).toBe(3n)
    expect(await stored()).toEqual({ place: 'columns', token: 3n, holders: [next.holder] })
  })

  it('is renewed in the columns, and by the same call when it was moved meanwhile', async () => {
    const [one, two] = [request(name), request(name)]
    const left = async () =>
      Object.fromEntries(
        [...((await a.show(name))?.holders ?? []), ...((await a.show(name))?.waiters ?? [])].map((entry) => [
          entry.holder,
          Math.round((entry.leftMs ?? 0) / 10_000),
        ]),
      )
    await grant(a, one)
    await passTime(store, 30_000)
    expect(await left()).toEqual({ [one.holder]: 3 })
    expect(await a.renew(two)).toBeUndefined()
    expect(await a.renew(one)).toBeDefined()
    expect(await left()).toEqual({ [one.holder]: 6 })
    expect(await stored()).toMatchObject({ place: 'columns' })

    await passTime(store, 30_000)
    await b.ask(two, join)
    await passTime(store, 10_000)
    expect(await left()).toEqual({ [one.holder]: 2, [two.holder]: 5 })
    expect(await a.renew(one)).toBeDefined()
    expect(await left()).toEqual({ [one.holder]: 6, [two.holder]: 5 })
    expect(await stored()).toMatchObject({ place: 'document' })
  })

  it('asked for twice by its holder, since an answer was lost, is the same lock with a new lease', async () => {
    const mine = request(name)
    await grant(a, mine)
    await passTime(store, 30_000)
    expect(await grant(a, mine)).toBe(1n)
    const [entry] = (await a.show(name))?.holders ?? []
    expect(entry?.leftMs).toBeGreaterThan(50_000)
    expect(entry?.ageMs).toBeGreaterThanOrEqual(30_000)
    expect((await b.ask(request(name), { wait: false })).kind).toBe('refused')
    expect((await a.show(name))?.holders[0]?.ageMs).toBeGreaterThanOrEqual(30_000)
    expect(await stored()).toEqual({ place: 'columns', token: 1n, holders: [mine.holder] })
  })

  it('asked for again by who has waited before, when it is free, stands in the columns', async () => {
    const [one, two] = [request(name), request(name)]
    await grant(a, one)
    await b.ask(two, join)
    await a.release(one)
    await a.release(two) // not by the engine that has seen it wait
    expect(await grant(b, two)).toBe(3n)
    expect(await stored()).toEqual({ place: 'columns', token: 3n, holders: [two.holder] })
    expect(await b.release(two)).toBe(true)
  })

  it('is taken away by force from who holds it alone', async () => {
    const mine = request(name)
    await grant(a, mine)
    expect((await b.expel(name))?.holders).toMatchObject([{ holder: mine.holder, token: 1n }])
    expect(await b.expel(name)).toBeUndefined()
    expect(await a.renew(mine)).toBeUndefined()
    expect(await a.release(mine)).toBe(false)
    expect(await stored()).toEqual({ place: 'columns', token: 1n, holders: [] })
    expect(await grant(b, request(name))).toBe(2n)
  })

  const seeds = kind === 'sqlite' ? 60 : 25
  it(`answers as the rule says, whatever is asked in which order (${seeds} random sequences)`, async () => {
    for (let seed = 1; seed <= seeds; seed++) await sequence(seed)
  }, 120_000)

  async function sequence(seed: number): Promise<void> {
    const random = seededRandom(seed)
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T
    const own = randomUUID()
    const model = new ModelLock()
    const kinds = [
      { mode: 'exclusive', limit: 1 },
      { mode: 'shared', limit: 1_000_000_000 },
      { mode: 'semaphore', limit: 2 },
    ] as const
    const holders = ['h1', 'h2', 'h3', 'h4'].map((holder) => ({
      ...request(own, { holder }),
      ...pick(kinds),
    }))
    const done: string[] = []
    for (let step = 0; step < 25; step++) {
      const mine = pick(holders)
      const engine = pick([a, b])
      const wait = random() < 0.6
      const what = pick(['ask', 'ask', 'ask', 'release', 'release', 'renew', 'expel', 'time'] as const)
      done.push(`${what} ${mine.holder} ${mine.mode} ${wait}`)
      const said = `seed ${seed}: ${done.join(', ')}`
      if (what === 'ask') {
        const { kind: answered, ...rest } = await engine.ask(mine, { wait })
        const token = 'token' in rest ? rest.token : undefined
        expect({ answered, token }, said).toEqual(model.ask(mine, wait))
      }
      if (what === 'release') expect(await engine.release(mine), said).toBe(model.release(mine))
      if (what === 'renew') expect((await engine.renew(mine)) !== undefined, said).toBe(model.renew(mine))
      if (what === 'expel') {
        const info = await engine.expel(own)
        expect(info?.holders.map(({ holder }) => holder) ?? [], said).toEqual(model.expel())
      }
      if (what === 'time') {
        const ms = pick([25_000, 40_000])
        await passTime(store, ms)
        model.passTime(ms)
      }
      const info = await engine.show(own)
      const shown = [...(info?.holders ?? []), ...(info?.waiters ?? [])]
      const brief = ({ holder, mode, token }: Pick<ModelEntry, 'holder' | 'mode' | 'token'>) =>
        `${holder} ${mode} ${token}`
      expect(shown.map(brief).sort(), said).toEqual(model.running().map(brief).sort())
      if (model.token > 0n) expect((await storedLock(store, own)).token, said).toBe(model.token)
    }
  }
})
