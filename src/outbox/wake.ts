import type { Store } from '../store/store.ts'

/**
 * Called when messages of these partitions were committed here; undefined means that any may have some. True when the
 * relay holds them all, so that no other one needs to know.
 */
export type Wake = (partitions: readonly number[] | undefined) => boolean

/** The relays of this process, so that a commit wakes them whichever `createOutbox` call they came from. */
const relays = new WeakMap<Store, Map<string, Set<Wake>>>()

/** Gives the function that takes `wake` off the list again. */
export function onCommitted(store: Store, name: string, wake: Wake): () => void {
  const byName = relays.get(store) ?? new Map<string, Set<Wake>>()
  relays.set(store, byName)
  const wakes = byName.get(name) ?? new Set<Wake>()
  byName.set(name, wakes)
  wakes.add(wake)
  return () => void wakes.delete(wake)
}

/** True when one of them holds all these partitions. */
export function wakeRelays(store: Store, name: string, partitions?: readonly number[]): boolean {
  let held = false
  const wakes = relays.get(store)?.get(name)
  if (wakes !== undefined) for (const wake of wakes) held = wake(partitions) || held
  return held
}
