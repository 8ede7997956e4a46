/** What customers and restaurants do at one of the sites, and what is written down about it. */
import { chance } from '../shared/random.ts'

export const SITES = ['berlin', 'oslo', 'paris'] as const
export type SiteName = (typeof SITES)[number]

/** `dish`: the last writer wins. `cart`: what was written apart stands beside one another. `likes`: a counter. */
export type CollectionName = 'dish' | 'cart' | 'likes'

export interface Operation {
  readonly id: string
  readonly kind: 'write' | 'delete' | 'count'
  readonly collection: CollectionName
  readonly key: string
  /** Waits until two sites have it. */
  readonly confirm: boolean
}

/**
 * What a site writes down about an operation, in the transaction that does it: so it is known of exactly those that were
 * committed, whatever the customer heard.
 */
export interface Entry {
  readonly id: string
  readonly site: SiteName
  readonly collection: CollectionName
  readonly key: string
  readonly kind: Operation['kind']
  /** How the version that it wrote is called, and those that it had before its eyes and replaced. */
  readonly wrote: string
  readonly saw: readonly string[]
}

/** A record as a site reads it in the end. */
export interface Reading {
  readonly collection: CollectionName
  readonly key: string
  /** The versions that stand, or the total. */
  readonly versions: readonly string[]
  readonly total: number
}

export const KEYS = 10

export function planOperations(count: number, seed: number): Operation[] {
  return Array.from({ length: count }, (_, i) => {
    const pick = (what: string): number => chance(seed, what, i)
    const collection: CollectionName =
      pick('collection') < 0.4 ? 'dish' : pick('collection') < 0.8 ? 'cart' : 'likes'
    const kind = collection === 'likes' ? 'count' : pick('delete') < 0.12 ? 'delete' : 'write'
    return {
      id: `op-${String(i).padStart(5, '0')}`,
      kind,
      collection,
      key: `${collection}-${Math.floor(pick('key') * KEYS)}`,
      confirm: pick('confirm') < 0.1,
    }
  })
}
