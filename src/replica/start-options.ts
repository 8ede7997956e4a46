import type { Broker } from '../broker/index.ts'
import type { ReplicaId } from '../causality/index.ts'
import type { Log } from '../core/log.ts'
import { checkOptions, isAge, isCount, isDuration, isObject } from '../core/options.ts'
import type { PeerLink } from './peer-link.ts'
import type { ResolvedReplica } from './replica-options.ts'

export interface StartOptions {
  /** What carries the changes. Without one, they travel by pulls alone. */
  readonly broker?: Broker
  /** A link to each other member. Without links nothing is caught up but by the broker, and no deleted record is pruned. */
  readonly peers?: Readonly<Record<ReplicaId, PeerLink>>
  /** Between two pulls from a peer, about. Default 10 000. */
  readonly pullEveryMs?: number
  /** Bound of one pull. Default 300 000. */
  readonly pullTimeoutMs?: number
  /** Between two signs of life over the broker. Default 5 000. */
  readonly pulseEveryMs?: number
  /**
   * The longest age at which a message is merged into a record that is not here. The longer, the longer deleted records
   * are kept. The same at all members. Default: one day.
   */
  readonly messageAgeMaxMs?: number
  /** How long conflicts are kept. Default: 30 days. */
  readonly conflictsKeptMs?: number
  /** Default 60 000. */
  readonly pruneEveryMs?: number
  /** Messages merged at once. Default 16. */
  readonly concurrency?: number
  /** How long a process that died keeps others from its partitions. Default 10 000. */
  readonly ttlMs?: number
  readonly log?: Log
  readonly signal?: AbortSignal
}

export type ResolvedStart = ReturnType<typeof resolveStartOptions>

const KNOWN = [
  'broker',
  'peers',
  'pullEveryMs',
  'pullTimeoutMs',
  'pulseEveryMs',
  'messageAgeMaxMs',
  'conflictsKeptMs',
  'pruneEveryMs',
  'concurrency',
  'ttlMs',
  'log',
  'signal',
]

/** @throws ConfigError with every problem */
export function resolveStartOptions(given: StartOptions, { id, members }: ResolvedReplica) {
  const { broker, peers = {}, pullEveryMs = 10_000, pullTimeoutMs = 300_000, pulseEveryMs = 5_000 } = given
  const { messageAgeMaxMs = 86_400_000, conflictsKeptMs = 2_592_000_000, pruneEveryMs = 60_000 } = given
  const { concurrency = 16, ttlMs = 10_000, signal } = given
  checkOptions('replica.start', given, KNOWN, [
    broker === undefined || typeof broker?.publish === 'function' || 'broker must be a Broker',
    isObject('peers', peers),
    broker !== undefined || Object.keys(peers ?? {}).length > 0 || 'give a broker, links to peers, or both',
    ...Object.entries(peers ?? {}).flatMap(([peer, link]) => [
      (peer !== id && members.includes(peer)) || `peers names "${peer}", which is no other member`,
      typeof link?.ask === 'function' || `peers["${peer}"] must be a PeerLink`,
    ]),
    isDuration('pullEveryMs', pullEveryMs),
    isDuration('pullTimeoutMs', pullTimeoutMs),
    isDuration('pulseEveryMs', pulseEveryMs),
    isAge('messageAgeMaxMs', messageAgeMaxMs),
    isAge('conflictsKeptMs', conflictsKeptMs),
    isDuration('pruneEveryMs', pruneEveryMs),
    isCount('concurrency', concurrency, 1, 10_000),
    isDuration('ttlMs', ttlMs),
  ])
  return Object.freeze({
    broker,
    peers,
    pullEveryMs,
    pullTimeoutMs,
    pulseEveryMs,
    messageAgeMaxMs,
    conflictsKeptMs,
    pruneEveryMs,
    concurrency,
    ttlMs,
    signal,
  })
}
