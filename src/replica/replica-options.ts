import type { ReplicaId } from '../causality/index.ts'
import { ConfigError } from '../core/errors.ts'
import {
  checkArguments,
  checkOptions,
  isCount,
  isDurationOrZero,
  isList,
  isName,
  isObject,
  show,
} from '../core/options.ts'
import { type Collection, type Collections, collectionChecks, resolveCollection } from './collection.ts'

export interface ReplicaOptions<C extends Collections> {
  /** The name of this store among the members, at most 60 characters. A store keeps it; no two stores have one. */
  readonly id: ReplicaId
  /**
   * All replicas, this one included. Deleted records are kept until each of these has seen the deletion, so a member that
   * is gone for good must be taken out, everywhere.
   */
  readonly members: readonly ReplicaId[]
  readonly collections: C
  /** Tells several sets of replicas on one broker apart, at most 40 characters. Default `default`. */
  readonly set?: string
  /** The largest value, in bytes as JSON. Default 64 KiB; at most 1 MiB. */
  readonly valueLimitBytes?: number
  /** How far ahead of this machine's clock a write from elsewhere may be stamped; what is further is refused. Default 60 000. */
  readonly driftMaxMs?: number
}

export interface ResolvedReplica {
  readonly id: ReplicaId
  readonly members: readonly ReplicaId[]
  readonly collections: ReadonlyMap<string, Collection>
  readonly set: string
  readonly valueLimitBytes: number
  readonly driftMaxMs: number
}

/** @throws ConfigError with every problem */
export function resolveReplicaOptions(given: ReplicaOptions<Collections>): ResolvedReplica {
  const { id, members = [], collections = {}, set = 'default' } = given
  checkArguments('createReplica', isList('members', members), isObject('collections', collections))
  const { valueLimitBytes = 65_536, driftMaxMs = 60_000 } = given
  checkOptions(
    'createReplica',
    given,
    ['id', 'members', 'collections', 'set', 'valueLimitBytes', 'driftMaxMs'],
    [
      isName('id', id, 60),
      isName('set', set, 40),
      ...members.map((member) => isName('a member', member, 60)),
      new Set(members).size === members.length || 'members names one twice',
      members.includes(id) || `members must name all replicas, ${show(id)} included`,
      Object.keys(collections).length > 0 || 'collections is empty',
      ...Object.entries(collections).flatMap(([name, options]) => collectionChecks(name, options)),
      isCount('valueLimitBytes', valueLimitBytes, 1, 1_048_576),
      isDurationOrZero('driftMaxMs', driftMaxMs),
    ],
  )
  return Object.freeze({
    id,
    members: Object.freeze([...members]),
    collections: new Map(
      Object.entries(collections).map(([name, options]) => [name, resolveCollection(name, options)]),
    ),
    set,
    valueLimitBytes,
    driftMaxMs,
  })
}

/** @throws ConfigError for a collection that is not declared */
export function collectionOf({ collections }: ResolvedReplica, name: string): Collection {
  const found = collections.get(name)
  if (found !== undefined) return found
  throw new ConfigError('replica', [
    `collection ${JSON.stringify(name)} is not declared (known: ${[...collections.keys()].join(', ')})`,
  ])
}
