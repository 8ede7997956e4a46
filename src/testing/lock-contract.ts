import { randomUUID } from 'node:crypto'
import { checkArguments, isDuration, optionsOf } from '../core/options.ts'
import { createLocks, type HeldLock, type LockEngine, type LockRequest, type Locks } from '../lock/index.ts'
import { codeOf } from './code-of.ts'
import { describeLockAdministration } from './lock-administration.ts'
import { checkLockSpans, type LockSpan } from './lock-history.ts'
import { checkSuite, type TestKit } from './test-kit.ts'

/** One set-up of a lock engine, made for one test. */
export interface LockSetup {
  /** One more engine on the same server, as another process would make one. The suite closes it. */
  open(): Promise<LockEngine>
  dispose(): Promise<void>
}

export interface LockContractOptions {
  /** A time to live that the engine grants exactly, as short as it can. */
  readonly ttlMs: number
  /** False where the bound of `ttlMs` below which it is refused does not exist or is 1. */
  readonly tooShortMs: number
  /** How many times each of eight contenders acquires the lock. */
  readonly rounds: number
  /** False where the lease belongs to the session of the client, so that one that is not renewed goes on. Default true. */
  readonly endsUnrenewed?: boolean
}

const WAIT_MS = 20_000

/** What every lock engine must do, run against a real server. Names are random, so a shared server is fine. */
export function describeLockContract(
  kit: TestKit,
  name: string,
  setUp: () => Promise<LockSetup>,
  options: LockContractOptions,
): void {
  checkSuite('describeLockContract', kit, name, setUp, 'beforeEach', 'afterEach')
  const { ttlMs, tooShortMs, rounds, endsUnrenewed = true } = optionsOf('describeLockContract', options)
  checkArguments('describeLockContract', isDuration('ttlMs', ttlMs))
  const { it, expect } = kit
  kit.describe(`lock contract: ${name}`, () => {
    let setup: LockSetup
    let a: Locks
    let b: Locks
    let lockName: string
    kit.beforeEach(async () => {
      setup = await setUp()
      a = createLocks(await setup.open(), { owner: `a-${randomUUID()}` })
      b = createLocks(await setup.open(), { owner: `b-${randomUUID()}` })
      lockName = `lock ${randomUUID()}`
    })
    kit.afterEach(async () => {
      await Promise.all([a.close(), b.close()])
      await setup.dispose()
    })

    const waiting = (count: number): Promise<void> =>
      until(`${count} waiters`, async () => (await a.show(lockName))?.waiters.length === count)
    const options = { ttlMs, waitMs: WAIT_MS }

    it('an exclusive lock has one holder; the next has a higher token', async () => {
      const first = await a.acquire(lockName, options)
      expect(first.isHeld()).toBe(true)
      expect(first.mode).toBe('exclusive')
      expect(first.ttlMs).toBe(ttlMs)
      expect(await b.tryAcquire(lockName, { ttlMs })).toBeUndefined()
      expect(await a.tryAcquire(lockName, { ttlMs })).toBeUndefined()
      expect(await first.release()).toBe(true)
      expect(await first.release()).toBe(true)
      expect(first.signal.aborted).toBe(true)
      expect(first.signal.reason.code).toBe('LOCK_LOST')
      const second = await b.tryAcquire(lockName, { ttlMs })
      expect((second?.token ?? 0n) > first.token).toBe(true)
      await second?.release()
    })

    it('a throw releases at once', async () => {
      const work = async (): Promise<void> => {
        await using _lock = await a.acquire(lockName, options)
        throw new Error('work failed')
      }
      await expect(work()).rejects.toThrow('work failed')
      const lock = await b.tryAcquire(lockName, { ttlMs })
      expect(lock).toBeDefined()
      await lock?.release()
    })

    it('those who wait are served in the order in which they came', async () => {
      let lock: HeldLock = await a.acquire(lockName, options)
      const served: number[] = []
      const tokens: bigint[] = [lock.token]
      const waiters: Promise<HeldLock>[] = []
      for (let i = 0; i < 5; i++) {
        waiters.push(
          (i % 2 ? a : b).acquire(lockName, options).then((got) => {
            served.push(i)
            tokens.push(got.token)
            return got
          }),
        )
        await waiting(i + 1)
      }
      for (const waiter of waiters) {
        await lock.release()
        lock = await waiter
      }
      await lock.release()
      expect(served).toEqual([0, 1, 2, 3, 4])
      expect(tokens).toEqual([...tokens].sort((x, y) => (x < y ? -1 : 1)))
    })

    it('a wait that passes leaves nothing behind', async () => {
      const lock = await a.acquire(lockName, options)
      expect(await codeOf(b.acquire(lockName, { ttlMs, waitMs: 60 }))).toBe('LOCK_NOT_ACQUIRED')
      expect(await codeOf(b.acquire(lockName, { ttlMs, waitMs: 0 }))).toBe('LOCK_NOT_ACQUIRED')
      expect((await a.show(lockName))?.waiters).toEqual([])
      await lock.release()
    })

    it('an aborted wait rejects with the reason and leaves nothing behind', async () => {
      const lock = await a.acquire(lockName, options)
      const abort = new AbortController()
      const reason = new Error('enough')
      const waiter = codeOf(b.acquire(lockName, { ...options, signal: abort.signal }))
      await waiting(1)
      abort.abort(reason)
      expect(await waiter).toBe(reason)
      expect(await codeOf(b.acquire(lockName, { ...options, signal: abort.signal }))).toBe(reason)
      expect((await a.show(lockName))?.waiters).toEqual([])
      await lock.release()
    })

    it('an abort while the question is under way leaves nothing behind', async () => {
      const abort = new AbortController()
      const acquiring = codeOf(a.acquire(lockName, { ...options, signal: abort.signal }))
      abort.abort(new Error('at once'))
      expect(await acquiring).toBe(abort.signal.reason)
      expect(await a.show(lockName)).toBeUndefined()
    })

    it('readers hold together; a writer waits for them and goes before later readers', async () => {
      const [one, two] = [await a.acquireShared(lockName, options), await b.acquireShared(lockName, options)]
      expect(await b.tryAcquire(lockName, { ttlMs })).toBeUndefined()
      const order: string[] = []
      const writer = a.acquire(lockName, options).then((lock) => {
        order.push('writer')
        return lock
      })
      await waiting(1)
      const reader = b.acquireShared(lockName, options).then((lock) => {
        order.push('reader')
        return lock
      })
      await waiting(2)
      expect(await b.tryAcquireShared(lockName, { ttlMs })).toBeUndefined()
      await one.release()
      await two.release()
      await (await writer).release()
      await (await reader).release()
      expect(order).toEqual(['writer', 'reader'])
    })

    it('a semaphore has as many holders as permits', async () => {
      const permits = { ...options, permits: 2 }
      const [one, two] = [await a.acquirePermit(lockName, permits), await b.acquirePermit(lockName, permits)]
      expect(await b.tryAcquirePermit(lockName, { ttlMs, permits: 2 })).toBeUndefined()
      const third = a.acquirePermit(lockName, permits)
      await waiting(1)
      await one.release()
      expect((await third).isHeld()).toBe(true)
      await (await third).release()
      await two.release()
    })

    it('several names are taken together without a deadlock', async () => {
      const names = [`${lockName} x`, `${lockName} y`, `${lockName} z`]
      const turn = async (locks: Locks, order: readonly string[]): Promise<void> => {
        for (let i = 0; i < 3; i++) {
          await using set = await locks.acquire(order, options)
          expect(set.isHeld()).toBe(true)
          expect(set.locks.map((lock) => lock.name)).toEqual(names)
        }
      }
      await Promise.all([turn(a, names), turn(b, [...names].reverse())])
      expect(await codeOf(a.acquire([lockName, lockName], options))).toBe('CONFIG_INVALID')
      const held = await b.acquire(names[2] as string, options)
      expect(await codeOf(a.acquire(names, { ttlMs, waitMs: 60 }))).toBe('LOCK_NOT_ACQUIRED')
      const free = await b.tryAcquire(names[0] as string, { ttlMs })
      expect(free).toBeDefined()
      await Promise.all([held.release(), free?.release()])
    })

    it('a held lock is renewed beyond its time to live', async () => {
      const lock = await a.acquire(lockName, options)
      const end = performance.now() + ttlMs * 1.5
      await until('one and a half leases', async () => {
        expect(await b.tryAcquire(lockName, { ttlMs })).toBeUndefined()
        return performance.now() > end
      })
      expect(lock.isHeld()).toBe(true)
      expect(lock.signal.aborted).toBe(false)
      expect(await lock.release()).toBe(true)
    })

    if (endsUnrenewed) {
      it('who does not renew loses the lock, to the next with a higher token, and cannot renew it any more', async () => {
        const request = requestOf(lockName, ttlMs)
        const answer = await a.engine.ask(request, { wait: true })
        if (answer.kind !== 'held') throw new Error(answer.kind)
        const next = await b.acquire(lockName, options)
        expect(performance.now()).toBeGreaterThanOrEqual(answer.validUntilMs)
        expect(next.token > answer.token).toBe(true)
        expect(await a.engine.renew(request)).toBeUndefined()
        expect(await a.engine.release(request)).toBe(false)
        expect(next.isHeld()).toBe(true)
        await next.release()
      })
    }

    it('asking twice is asking once, and a release takes back whatever stands', async () => {
      const request = requestOf(lockName, ttlMs)
      const first = await a.engine.ask(request, { wait: true })
      const again = await a.engine.ask(request, { wait: true })
      expect(again.kind).toBe('held')
      expect((again as { token: bigint }).token).toBe((first as { token: bigint }).token)
      const waiter = requestOf(lockName, ttlMs)
      expect((await b.engine.ask(waiter, { wait: true })).kind).toBe('waiting')
      expect((await b.engine.ask(waiter, { wait: true })).kind).toBe('waiting')
      expect((await a.show(lockName))?.waiters.length).toBe(1)
      expect(await b.engine.release(waiter)).toBe(true)
      expect(await b.engine.release(waiter)).toBe(false)
      expect(await a.engine.release(request)).toBe(true)
      expect(await a.show(lockName)).toBeUndefined()
    })

    describeLockAdministration(kit, () => ({ a, b, lockName, options, waiting, until }))

    it('any name will do', async () => {
      const names = ['a\'b"c\\d', 'a/b', 'a', 'a/', '../x', '%2F', 'ключ 🔒', '{x}', '*', 'a\nb', ' ']
      for (const odd of names.map((text) => `${lockName}${text}`)) {
        const lock = await a.acquire(odd, options)
        expect(await b.tryAcquire(odd, { ttlMs })).toBeUndefined()
        expect((await b.show(odd))?.name).toBe(odd)
        await lock.release()
      }
    })

    it('bad options are refused', async () => {
      for (const bad of [
        { ttlMs: -1 },
        { ttlMs: 0 },
        { ttlMs: Number.NaN },
        { ttlMs: 1e15 },
        { ttlMs: Number.POSITIVE_INFINITY },
        { ttlMs: tooShortMs },
        { waitMs: -1 },
        { waitMs: 1e15 },
        { unknown: 1 },
      ]) {
        expect(await codeOf(a.acquire(lockName, bad as never))).toBe('CONFIG_INVALID')
      }
      for (const bad of ['', 'a\0b', '\ud800', 'x'.repeat(201), 1, undefined]) {
        expect(await codeOf(a.acquire(bad as never, options))).toBe('CONFIG_INVALID')
      }
      for (const permits of [0, -1, 1.5, 1e9]) {
        expect(await codeOf(a.acquirePermit(lockName, { ...options, permits }))).toBe('CONFIG_INVALID')
      }
      for (const names of [[], [lockName, ''], new Array(1)]) {
        expect(await codeOf(a.acquire(names as string[], options))).toBe('CONFIG_INVALID')
      }
      await expect(a.acquire(new Array(1), options)).rejects.toThrow('each name must be')
      expect(await codeOf(a.acquirePermit(lockName, undefined as never))).toBe('CONFIG_INVALID')
    })

    it('eight contenders exclude each other, in the order of their tokens', async () => {
      const spans: LockSpan[] = []
      const contend = async (locks: Locks): Promise<void> => {
        for (let i = 0; i < rounds; i++) {
          const lock = await locks.acquire(lockName, options)
          const fromMs = performance.now()
          await new Promise((resolve) => setImmediate(resolve))
          if (lock.isHeld())
            spans.push({ holder: lock.holder, token: lock.token, fromMs, toMs: performance.now() })
          await lock.release()
        }
      }
      await Promise.all(Array.from({ length: 8 }, (_, i) => contend(i % 2 ? a : b)))
      expect(spans.length).toBe(8 * rounds)
      expect(checkLockSpans(spans)).toEqual([])
    })
  })
}

function requestOf(name: string, ttlMs: number): LockRequest {
  return { name, holder: randomUUID(), mode: 'exclusive', limit: 1, ttlMs }
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`gave up waiting for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
