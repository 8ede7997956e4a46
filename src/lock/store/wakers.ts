import { createHash } from 'node:crypto'
import type { Store } from '../../store/store.ts'

/** Who in this process waits for which lock of one store: a release here wakes them without the database. */
export class Wakers {
  readonly #byName = new Map<string, Map<string, () => void>>()

  add(name: string, holder: string, wake: () => void): () => void {
    const waiting = this.#byName.get(name) ?? new Map<string, () => void>()
    this.#byName.set(name, waiting.set(holder, wake))
    return () => {
      waiting.delete(holder)
      if (waiting.size === 0 && this.#byName.get(name) === waiting) this.#byName.delete(name)
    }
  }

  /** Wakes these holders, or all who wait for the name. */
  wake(name: string, holders?: readonly string[]): void {
    const waiting = this.#byName.get(name)
    if (waiting === undefined) return
    for (const holder of holders ?? [...waiting.keys()]) waiting.get(holder)?.()
  }

  wakeAll(): void {
    for (const name of [...this.#byName.keys()]) this.wake(name)
  }
}

const wakers = new WeakMap<Store, Wakers>()

export function wakersOf(store: Store): Wakers {
  const known = wakers.get(store) ?? new Wakers()
  wakers.set(store, known)
  return known
}

/** Longer names of channels than 63 bytes are refused by NOTIFY. */
export function notifyChannel(store: Store): string {
  const channel = `${store.tableName('lock')}/wake`
  if (Buffer.byteLength(channel) <= 63) return channel
  return `holdfast_lock/${createHash('sha256').update(channel).digest('hex').slice(0, 40)}`
}
