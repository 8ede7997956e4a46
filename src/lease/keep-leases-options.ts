import { type Log, silentLog } from '../core/log.ts'
import {
  checkArguments,
  checkOptions,
  isBoolean,
  isCount,
  isDuration,
  isDurationOrZero,
  isFunction,
  isName,
} from '../core/options.ts'
import { leaseChecks } from './acquire.ts'
import type { HeldLease } from './held-lease.ts'
import { uniqueOwner } from './owner.ts'

export interface KeepLeasesOptions {
  readonly scope: string
  /** What is to be held: `['0', '1', … '15']` for partitions, one name for a leader. At most 4 096. */
  readonly names: readonly string[]
  /** Unique per process start. Default: `uniqueOwner()`. */
  readonly owner?: string
  /** Default 10 000. A killed holder's leases are taken over within `ttlMs` and one look. */
  readonly ttlMs?: number
  /** Default a third of `ttlMs`; at most half, so that one renewal may fail. */
  readonly renewEveryMs?: number
  /** How often to see who is there and what is free. Default 1 000, or `renewEveryMs` if that is less. */
  readonly lookEveryMs?: number
  /** True (the default) shares the names fairly among the live keepers of the scope; false takes all it can get. */
  readonly share?: boolean
  /** Told of each lease gained. Start working; do not wait for the work. */
  readonly onGained: (held: HeldLease) => void
  /**
   * Asked before a lease is given up in good order, to another member or by `stop`: take no new work under it, and
   * fulfil when what is in hand is done. Until then, and for at most `drainMs`, the lease is still renewed.
   */
  readonly onDrain?: (held: HeldLease) => void | Promise<void>
  /** Told once for each lease gained, when it is over: given up, taken over, or not renewed in time. */
  readonly onLost?: (held: HeldLease) => void
  /** Bound of `onDrain`, which with 0 is not asked at all. Default 5 000. */
  readonly drainMs?: number
  readonly log?: Log
  /** Firing it is like calling `stop()`. */
  readonly signal?: AbortSignal
}

export type ResolvedKeepLeasesOptions = Required<Omit<KeepLeasesOptions, 'signal' | 'onDrain' | 'onLost'>> &
  Pick<KeepLeasesOptions, 'signal' | 'onDrain' | 'onLost'>

const OPTION_NAMES = [
  'scope',
  'names',
  'owner',
  'ttlMs',
  'renewEveryMs',
  'lookEveryMs',
  'share',
  'onGained',
  'onDrain',
  'onLost',
  'drainMs',
  'log',
  'signal',
]

/** @throws ConfigError */
export function resolveKeepLeasesOptions(given: KeepLeasesOptions): ResolvedKeepLeasesOptions {
  const { owner = uniqueOwner(), ttlMs = 10_000, share = true, drainMs = 5_000, log = silentLog } = given
  checkArguments('keepLeases', isDuration('ttlMs', ttlMs))
  const { names, renewEveryMs = ttlMs / 3 } = given
  checkArguments('keepLeases', isDuration('renewEveryMs', renewEveryMs))
  const { lookEveryMs = Math.min(1_000, renewEveryMs) } = given
  const list = Array.isArray(names) ? names : []
  checkOptions('keepLeases', given, OPTION_NAMES, [
    ...leaseChecks({ scope: given.scope, owner, ttlMs }),
    Array.isArray(names) || 'names must be an array',
    isCount('the number of names', list.length, 1, 4_096),
    ...list.map((name) => isName('each name', name)),
    new Set(list).size === list.length || 'names must be without duplicates',
    renewEveryMs * 2 <= ttlMs || `renewEveryMs (${renewEveryMs}) must be at most half of ttlMs (${ttlMs})`,
    isDuration('lookEveryMs', lookEveryMs),
    isFunction('onGained', given.onGained),
    given.onDrain === undefined || isFunction('onDrain', given.onDrain),
    given.onLost === undefined || isFunction('onLost', given.onLost),
    isBoolean('share', share),
    isDurationOrZero('drainMs', drainMs),
  ])
  return Object.freeze({
    ...given,
    owner,
    ttlMs: Math.floor(ttlMs),
    renewEveryMs,
    lookEveryMs,
    share,
    drainMs,
    log,
  })
}
