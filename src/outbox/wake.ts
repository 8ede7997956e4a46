import type { Store } from '../store/store.ts'
import type { Offer } from './direct.ts'
import type { OutboxRow } from './message.ts'

/** What a relay is told by the outboxes of its process. */
export interface LocalRelay {
  /**
   * A transaction is about to commit a message, and `wake` will follow. A poll may meet the message before that, and would
   * take it for one of another process. Not for a joined transaction, whose messages only a poll may find.
   */
  expect(id: string): void
  /** Asked before the insert of `rows`, which are of one partition: would the relay take them without reading them? */
  offer(rows: readonly OutboxRow[]): Offer | undefined
  /**
   * Messages of these partitions were committed here; undefined means that any may have some. True when the relay holds
   * them all, so that no other one needs to know.
   */
  wake(partitions: readonly number[] | undefined): boolean
}

/** The relays of this process, so that a commit wakes them whichever `createOutbox` call they came from. */
const relays = new WeakMap<Store, Map<string, Set<LocalRelay>>>()

/** Gives the function that takes `relay` off the list again. */
export function addRelay(store: Store, name: string, relay: LocalRelay): () => void {
  const byName = relays.get(store) ?? new Map<string, Set<LocalRelay>>()
  relays.set(store, byName)
  const named = byName.get(name) ?? new Set<LocalRelay>()
  byName.set(name, named)
  named.add(relay)
  return () => void named.delete(relay)
}

export function expectAtRelays(store: Store, name: string, rows: readonly { readonly id: string }[]): void {
  for (const relay of relaysOf(store, name)) for (const { id } of rows) relay.expect(id)
}

/** The offer of the relay that holds the partition of `rows`, if it makes one. */
export function offerOfRelays(store: Store, name: string, rows: readonly OutboxRow[]): Offer | undefined {
  const partition = rows[0]?.partition
  if (partition === undefined || rows.some((row) => row.partition !== partition)) return undefined
  for (const relay of relaysOf(store, name)) {
    const offer = relay.offer(rows)
    if (offer !== undefined) return offer
  }
  return undefined
}

/** True when one of them holds all these partitions. */
export function wakeRelays(store: Store, name: string, partitions?: readonly number[]): boolean {
  let held = false
  for (const relay of relaysOf(store, name)) held = relay.wake(partitions) || held
  return held
}

function relaysOf(store: Store, name: string): Iterable<LocalRelay> {
  return relays.get(store)?.get(name) ?? []
}
