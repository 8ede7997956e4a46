import type { ExclusiveLock, LockSet } from './held-lock.ts'

export function toLockSet(locks: readonly ExclusiveLock[]): LockSet {
  const signal = AbortSignal.any(locks.map((lock) => lock.signal))
  return {
    locks,
    signal,
    isHeld: () => locks.every((lock) => lock.isHeld()),
    async release() {
      const results = await Promise.allSettled(locks.map((lock) => lock.release()))
      const failed = results.find((result) => result.status === 'rejected')
      if (failed !== undefined) throw failed.reason
      return results.every((result) => result.status === 'fulfilled' && result.value)
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(locks.map((lock) => lock[Symbol.asyncDispose]()))
    },
  }
}
