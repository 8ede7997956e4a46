import type { Log } from '../core/log.ts'
import { checkArguments, checkOptions, isCount, isFunction, isName, isObject } from '../core/options.ts'
import type { FencedLock } from '../fence/fence.ts'
import { type HeldLease, keepLeases, type LeaseKeeper } from '../lease/index.ts'
import { isStore } from '../store/arguments.ts'
import type { Store } from '../store/store.ts'

export interface OwnershipOptions {
  /** What is shared out; processes with the same name share it. */
  readonly name: string
  /** The keys to share out, at most 4 096, the same in every process; or `partitions`, a number, for the keys 0, 1, 2, … */
  readonly keys?: readonly string[]
  readonly partitions?: number
  /** Told of each key gained. Start working; do not wait for the work. */
  readonly onGained: (owned: Owned) => void
  /** Asked before a key is given to another process: take no new work, and fulfil when what is in hand is done. */
  readonly onDrain?: (owned: Owned) => void | Promise<void>
  readonly onLost?: (owned: Owned) => void
  /** Default 10 000. A killed owner's keys are taken over within it and one look. */
  readonly ttlMs?: number
  /** Bound of `onDrain`. Default 5 000. */
  readonly drainMs?: number
  readonly log?: Log
  readonly signal?: AbortSignal
}

/** A key that this process owns. `fence(tx, owned)` presents its epoch where a write lands. */
export interface Owned extends FencedLock {
  readonly key: string
  /** The epoch as the token: raised by whoever takes over. */
  readonly token: bigint
  /** Fires before the lease can have ended at the store, and when the key is given up. */
  readonly signal: AbortSignal
  isHeld(): boolean
}

export interface Ownership extends Omit<LeaseKeeper, 'held'> {
  /** What is owned at this moment. */
  readonly owned: readonly Owned[]
}

/**
 * Spreads keys or partitions fairly over the live processes, and rebalances when one joins or leaves.
 *
 * Guarantee: that of the base's lease, which relays and consumers use too. A key has one owner by the store's clock, each
 * under a higher epoch; of two that both believe to own it, the writes of the older one are refused by `fence(tx, owned)`
 * once the newer one has written. Migrate `leaseTables`.
 */
export function ownership(store: Store, options: OwnershipOptions): Ownership {
  checkArguments('ownership', isStore(store), isObject('options', options))
  const { name, keys, partitions, onGained, onDrain, onLost, ...rest } = options
  checkOptions('ownership', options, OPTION_NAMES, [
    isName('name', name, 150),
    (keys === undefined) !== (partitions === undefined) || 'give either keys or partitions',
    partitions === undefined || isCount('partitions', partitions, 1, 4_096),
    isFunction('onGained', onGained),
    onDrain === undefined || isFunction('onDrain', onDrain),
    onLost === undefined || isFunction('onLost', onLost),
  ])
  const owned = new WeakMap<HeldLease, Owned>()
  const toOwned = (held: HeldLease): Owned => {
    const known = owned.get(held)
    if (known !== undefined) return known
    const made: Owned = {
      mode: 'exclusive',
      key: held.name,
      name: `${name}/${held.name}`,
      token: held.epoch,
      holder: held.owner,
      signal: held.signal,
      isHeld: () => held.isHeld(),
    }
    owned.set(held, made)
    return made
  }
  const keeper = keepLeases(store, {
    ...rest,
    scope: `ownership/${name}`,
    names: keys ?? Array.from({ length: partitions ?? 0 }, (_, i) => `${i}`),
    onGained: (held) => onGained(toOwned(held)),
    ...(onDrain && { onDrain: (held: HeldLease) => onDrain(toOwned(held)) }),
    ...(onLost && { onLost: (held: HeldLease) => onLost(toOwned(held)) }),
  })
  return {
    done: keeper.done,
    owner: keeper.owner,
    get owned() {
      return keeper.held.map(toOwned)
    },
    stop: (given) => keeper.stop(given),
    [Symbol.asyncDispose]: () => keeper.stop(),
  }
}

const OPTION_NAMES = [
  'name',
  'keys',
  'partitions',
  'onGained',
  'onDrain',
  'onLost',
  'ttlMs',
  'drainMs',
  'log',
  'signal',
]
