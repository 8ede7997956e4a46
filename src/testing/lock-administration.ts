import type { Locks } from '../lock/index.ts'
import type { TestKit } from './test-kit.ts'

/** What the suite around it has opened: two engines on one server, as two processes would, and a name of this test's own. */
export interface AdministeredLocks {
  readonly a: Locks
  readonly b: Locks
  readonly lockName: string
  readonly options: { readonly ttlMs: number; readonly waitMs: number }
  /** Waits until so many wait for the lock. */
  waiting(count: number): Promise<void>
  until(what: string, condition: () => Promise<boolean>): Promise<void>
}

/** What those who operate may ask of every engine: list, show, release by force. */
export function describeLockAdministration({ it, expect }: TestKit, opened: () => AdministeredLocks): void {
  it('shows who holds and who waits, in the order of arrival, with token, mode, age and what is left', async () => {
    const { a, b, lockName, options, waiting } = opened()
    const lock = await a.acquire(lockName, options)
    const next = b.acquire(lockName, options)
    await waiting(1)
    const reader = a.acquireShared(lockName, options)
    await waiting(2)
    const info = await b.show(lockName)
    expect(info?.name).toBe(lockName)
    expect(info?.holders).toMatchObject([{ holder: lock.holder, token: lock.token, mode: 'exclusive' }])
    expect(info?.waiters.map(({ mode }) => mode)).toEqual(['exclusive', 'shared'])
    const entries = [...(info?.holders ?? []), ...(info?.waiters ?? [])]
    const tokens = entries.map(({ token }) => token)
    expect(tokens).toEqual([...tokens].sort((x, y) => (x < y ? -1 : 1)))
    for (const { ageMs, leftMs } of entries) {
      expect(ageMs === null || (ageMs >= 0 && ageMs <= options.waitMs)).toBe(true)
      expect(leftMs === null || (leftMs > 0 && leftMs <= options.ttlMs)).toBe(true)
    }
    await lock.release()
    expect((await b.show(lockName))?.holders.map(({ holder }) => holder)).toEqual([(await next).holder])
    await (await next).release()
    await (await reader).release()
  })

  it('lists locks ascending by name, as many as asked for', async () => {
    const { a, b, lockName, options } = opened()
    const names = ['c', 'a', 'b'].map((end) => `${lockName} ${end}`)
    const locks = await Promise.all(names.map((one) => a.acquire(one, options)))
    const listed = (await b.list()).map(({ name }) => name)
    expect(listed.filter((name) => names.includes(name))).toEqual([...names].sort())
    expect((await b.list({ limit: 2 })).length).toBe(2)
    for (const lock of locks) await lock.release()
    expect((await b.list()).filter(({ name }) => names.includes(name))).toEqual([])
  })

  it('a lock that is taken away by force is lost to its holder and goes to the next', async () => {
    const { a, b, lockName, options, waiting, until } = opened()
    const lock = await a.acquire(lockName, options)
    const next = b.acquire(lockName, options)
    await waiting(1)
    expect((await b.forceRelease(lockName))?.holders[0]?.holder).toBe(lock.holder)
    await until('the lock to be lost', async () => lock.signal.aborted || !lock.isHeld())
    expect(lock.signal.reason.code).toBe('LOCK_LOST')
    expect(await lock.release()).toBe(false)
    expect((await next).token > lock.token).toBe(true)
    await (await next).release()
  })

  it('all who hold together lose it together by force', async () => {
    const { a, b, lockName, options, waiting } = opened()
    const readers = [await a.acquireShared(lockName, options), await b.acquireShared(lockName, options)]
    const writer = a.acquire(lockName, options)
    await waiting(1)
    const released = await b.forceRelease(lockName)
    expect(released?.holders.map(({ holder }) => holder)).toEqual(readers.map(({ holder }) => holder))
    expect((await writer).isHeld()).toBe(true)
    expect((await b.show(lockName))?.holders.length).toBe(1)
    expect(await Promise.all(readers.map((reader) => reader.release()))).toEqual([false, false])
    await (await writer).release()
  })

  it('what nobody holds is neither shown nor released', async () => {
    const { a, b, lockName, options } = opened()
    expect(await b.show(lockName)).toBeUndefined()
    expect(await b.forceRelease(lockName)).toBeUndefined()
    await (await a.acquire(lockName, options)).release()
    expect(await b.show(lockName)).toBeUndefined()
    expect(await b.forceRelease(lockName)).toBeUndefined()
  })
}
