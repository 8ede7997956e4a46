import { type Store, sql } from 'holdfast'
import { fence } from 'holdfast/fence'
import { createLocks, election, type Owned, ownership, type Term } from 'holdfast/lock'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { stores } from '../inbox/stores.ts'
import { until } from '../support/wait.ts'

describe.each(stores)('on $name', ({ open }) => {
  let opened: Awaited<ReturnType<typeof open>>
  let store: Store
  beforeEach(async () => {
    opened = await open()
    store = opened.store
  })
  afterEach(() => opened[Symbol.asyncDispose]())

  const untilAborted = (term: Term) =>
    new Promise<void>((resolve) => term.signal.addEventListener('abort', () => resolve(), { once: true }))

  it('work that is no function is refused, and not tried again and again', () => {
    expect(() => election(createLocks(store), 'reports').run(undefined as never)).toThrow(
      'work must be a function',
    )
  })

  it('one candidate leads at a time; resigning and handing over go to the next, under a higher token', async () => {
    const locks = createLocks(store)
    const vote = election(locks, 'reports', { lookEveryMs: 20 })
    const terms: string[] = []
    const stand = (who: string) =>
      vote.run(
        async (term) => {
          terms.push(`${who} ${term.token}`)
          await untilAborted(term)
          terms.push(`${who} ends`)
        },
        { pauseMs: 60_000 },
      )
    await using a = stand('a')
    await until(() => a.term)
    await using b = stand('b')
    await using c = stand('c')
    await until(async () => (await locks.show('election/reports'))?.waiters.length === 2)
    const [first, second] = [a.term as Term, b.term]
    expect(second).toBeUndefined()
    expect((await vote.leader())?.token).toBe(first.token)

    const abort = new AbortController()
    const seen: (bigint | undefined)[] = []
    const observing = (async () => {
      for await (const leader of vote.observe({ signal: abort.signal })) seen.push(leader?.token)
    })()
    await until(() => seen.length === 1)
    const next = await vote.handOver(a)
    expect(next?.token).toBe(first.token + 1n)
    await until(() => b.term ?? c.term)
    expect(first.signal.aborted).toBe(true)
    await store.transaction((tx) => fence(tx, (b.term ?? c.term) as Term))
    await expect(store.transaction((tx) => fence(tx, first))).rejects.toMatchObject({ code: 'STALE_FENCE' })
    const leading = b.term === undefined ? c : b
    await until(() => seen.includes(next?.token))
    await leading.stop()
    await until(() => (leading === b ? c : b).term)
    abort.abort()
    await observing
    expect(terms.filter((line) => !line.includes('ends')).map((line) => Number(line.split(' ')[1]))).toEqual([
      1, 2, 3,
    ])
    // Nobody began before the one before had ended.
    expect(terms.map((line) => line.includes('ends'))).toEqual([false, true, false, true, false])
  })

  it('a leader whose lock is taken away is told; work that throws ends the term', async () => {
    const locks = createLocks(store)
    const vote = election(locks, 'e', { ttlMs: 300 })
    await using a = vote.run(untilAborted, { pauseMs: 1 })
    const first = await until(() => a.term)
    await locks.forceRelease('election/e')
    await until(() => first.signal.aborted)
    await until(() => a.term !== undefined && a.term.token > first.token)
    await a.stop()
    let runs = 0
    await using b = vote.run(
      async () => {
        runs += 1
        throw new Error('work failed')
      },
      { pauseMs: 1 },
    )
    await until(() => runs >= 2)
    await b.stop()
    expect(await vote.leader()).toBeUndefined()
  })

  it('partitions are shared out, rebalanced on join and leave, and no two owners pass the guard', async () => {
    const gained: Owned[] = []
    const join = (): ReturnType<typeof ownership> =>
      ownership(store, { name: 'mail', partitions: 4, ttlMs: 2_000, onGained: (owned) => gained.push(owned) })
    await using a = join()
    await until(() => a.owned.length === 4)
    const before = a.owned
    await using b = join()
    await until(() => a.owned.length === 2 && b.owned.length === 2)
    expect([...a.owned, ...b.owned].map((owned) => owned.key).sort()).toEqual(['0', '1', '2', '3'])
    for (const owned of b.owned) {
      await store.transaction((tx) => fence(tx, owned))
      const stale = before.find((other) => other.key === owned.key) as Owned
      expect(stale.signal.aborted).toBe(true)
      await expect(store.transaction((tx) => fence(tx, stale))).rejects.toMatchObject({ code: 'STALE_FENCE' })
    }
    await b.stop()
    await until(() => a.owned.length === 4)
    expect(new Set(gained.map((owned) => `${owned.key} ${owned.token}`)).size).toBe(gained.length)
    const rows = await store.query(sql`select 1 as one from ${store.table('fence')}`)
    expect(rows.length).toBe(2)
    expect(() => ownership(store, { name: 'x', onGained: () => {} })).toThrow('either keys or partitions')
  })
})
