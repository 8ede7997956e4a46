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
