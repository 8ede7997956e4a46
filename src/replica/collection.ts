import type { StandardSchemaV1 } from '../core/index.ts'
import { type Check, isCount, isName, isSchema, show } from '../core/options.ts'
import { isMergeable, type MergePolicy } from './policy.ts'

/** How the records of one collection behave. The same at every member; values that differ show as different readings. */
// biome-ignore lint/suspicious/noExplicitAny: without a type argument, a collection of any values is meant
export interface CollectionOptions<T = any> {
  readonly merge: MergePolicy<T>
  /** What a value must fit, here and when it arrives from a member. Not for a `Mergeable`, which checks its own states. */
  readonly schema?: StandardSchemaV1<unknown, T>
  /**
   * A write whose context has not seen all that is here: `refuse` it, or keep it as a `sibling`. Default: `refuse`, but
   * `sibling` for `multi-value` and for a `Mergeable`, where the write is merged with what is here.
   */
  readonly onStale?: 'refuse' | 'sibling'
  /** Whether versions that met unseen are noted. Default: true, but for a `Mergeable`, which loses neither. */
  readonly logConflicts?: boolean
  /** The most versions beside one another that a stale write may add to. Default 16. */
  readonly siblingsMax?: number
}

export type Collections = Readonly<Record<string, CollectionOptions>>

/** The values of a collection. */
export type ValueOf<C extends Collections, Name extends string> = Name extends keyof C
  ? C[Name] extends CollectionOptions<infer T>
    ? T
    : unknown
  : unknown

export interface Collection extends Required<Omit<CollectionOptions, 'schema'>> {
  readonly name: string
  readonly schema: StandardSchemaV1 | undefined
}

/** Says what the values of a collection are, where neither a schema nor its merge does: `collection<Cart>({ merge: … })`. */
export function collection<T>(options: CollectionOptions<T>): CollectionOptions<T> {
  return options
}

export function resolveCollection(name: string, given: CollectionOptions): Collection {
  return Object.freeze({
    name,
    merge: given.merge,
    schema: given.schema,
    onStale:
      given.onStale ?? (given.merge === 'multi-value' || isMergeable(given.merge) ? 'sibling' : 'refuse'),
    logConflicts: given.logConflicts ?? !isMergeable(given.merge),
    siblingsMax: given.siblingsMax ?? 16,
  })
}

export function collectionChecks(name: string, given: CollectionOptions): Check[] {
  const at = `collections[${JSON.stringify(name)}]`
  if (typeof given !== 'object' || given === null) return [`${at} must be an object with merge`]
  const { merge, schema, onStale, logConflicts, siblingsMax } = given
  return [
    isName('a collection', name, 100),
    ...Object.keys(given)
      .filter((key) => !KNOWN.includes(key))
      .map((key) => `unknown option ${at}.${key} (known: ${KNOWN.join(', ')})`),
    isPolicy(merge) ||
      `${at}.merge must be last-writer-wins, multi-value, a Mergeable or a function, got ${show(merge)}`,
    schema === undefined || isSchema(`${at}.schema`, schema),
    schema === undefined ||
      !isPolicy(merge) ||
      !isMergeable(merge) ||
      `${at}.schema is of no use to a Mergeable`,
    onStale === undefined ||
      ['refuse', 'sibling'].includes(onStale) ||
      `${at}.onStale must be refuse or sibling, got ${show(onStale)}`,
    logConflicts === undefined ||
      typeof logConflicts === 'boolean' ||
      `${at}.logConflicts must be true or false`,
    siblingsMax === undefined || isCount(`${at}.siblingsMax`, siblingsMax, 1, 1_000),
  ]
}

const KNOWN = ['merge', 'schema', 'onStale', 'logConflicts', 'siblingsMax']

function isPolicy(merge: unknown): merge is MergePolicy {
  if (merge === 'last-writer-wins' || merge === 'multi-value' || typeof merge === 'function') return true
  return typeof (merge as { merge?: unknown } | null)?.merge === 'function'
}
