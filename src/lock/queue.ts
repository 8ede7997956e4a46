import type { LockEntryInfo, LockInfo, LockMode } from './engine.ts'

/** An entry as the rule needs it. */
export interface QueueEntry {
  readonly holder: string
  readonly mode: LockMode
  readonly limit: number
}

/** The most entries of one queue that an engine rewrites as a whole. */
export const ENTRIES_MAX = 1_000
/** What an engine writes down for a limit of `Infinity`. */
export const LIMIT_MAX = 1_000_000_000

/**
 * True when the entry at `index` holds: all before it have its mode, and they are fewer than its limit.
 *
 * Then each of those before holds as well, as long as one name is used with one limit. Pure.
 */
export function holdsAt(queue: readonly QueueEntry[], index: number): boolean {
  const me = queue[index]
  if (me === undefined || index >= me.limit) return false
  for (let i = 0; i < index; i++) if (queue[i]?.mode !== me.mode) return false
  return true
}

/** The entry to wait for: when it goes, asking again is worth it. Undefined when `index` holds. */
export function predecessorOf(queue: readonly QueueEntry[], index: number): number | undefined {
  if (holdsAt(queue, index)) return undefined
  const me = queue[index]
  if (me?.mode === 'shared') {
    // The last that is not a reader: readers before this one come and go without changing anything for it.
    for (let i = index - 1; i >= 0; i--) if (queue[i]?.mode !== 'shared') return i
  }
  return index - 1
}

/** Parts a queue into those who hold and those who wait. */
export function describeQueue(name: string, queue: readonly (QueueEntry & LockEntryInfo)[]): LockInfo {
  const info = queue.map(({ holder, mode, token, ageMs, leftMs }) => ({ holder, mode, token, ageMs, leftMs }))
  return {
    name,
    holders: info.filter((_, i) => holdsAt(queue, i)),
    waiters: info.filter((_, i) => !holdsAt(queue, i)),
  }
}
