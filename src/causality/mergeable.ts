import { ConfigError, canonicalJson, checkOptions } from '../core/index.ts'
import type { CausalOrder } from './order.ts'

/**
 * A kind of value whose states can be merged in any order, any number of times, with the same result.
 *
 * States are immutable. `merge` must be commutative, associative and idempotent, `empty` its identity; the law kit of
 * `holdfast/testing` looks for a counter-example.
 * @see Shapiro, Preguiça, Baquero, Zawirski 2011, Conflict-free Replicated Data Types
 */
export interface Mergeable<S> {
  /** For messages and stored records: what a state of one kind must not be read as. */
  readonly kind: string
  readonly empty: S
  /** The least state that contains both. May be one of its arguments; changes neither. */
  merge(a: S, b: S): S
  /** What `a` is to `b`, where the kind can tell: 'before' exactly when merging `a` into `b` gives `b`. */
  compare?(a: S, b: S): CausalOrder
  /** A JSON value; equal states have equal `canonicalJson`. */
  encode(state: S): unknown
  /** @throws PayloadError for anything that `encode` does not give */
  decode(json: unknown): S
}

/** True when the two states are the same, whatever the order in which they hold their parts. */
export function sameState<S>(kind: Mergeable<S>, a: S, b: S): boolean {
  return a === b || canonicalJson(kind.encode(a)) === canonicalJson(kind.encode(b))
}

/** What a custom kind has to bring. */
export interface MergeableOptions<S> {
  readonly kind: string
  readonly empty: S
  readonly merge: (a: S, b: S) => S
  readonly compare?: (a: S, b: S) => CausalOrder
  /** Default: the state is JSON and goes as it is. */
  readonly encode?: (state: S) => unknown
  /** Default: any JSON is taken. Check what comes from outside. */
  readonly decode?: (json: unknown) => S
}

/**
 * A kind of your own, such as the larger of two numbers or the union of two lists. Run its laws before you store it.
 * @throws ConfigError when a part is missing
 */
export function mergeable<S>(options: MergeableOptions<S>): Mergeable<S> {
  const { kind, merge, compare, encode, decode } = options
  const isFunction = (name: string, value: unknown, must: boolean) =>
    typeof value === 'function' || (!must && value === undefined) || `${name} must be a function`
  checkOptions(
    'mergeable',
    options,
    ['kind', 'empty', 'merge', 'compare', 'encode', 'decode'],
    [
      /^[a-z][a-z0-9-]{0,49}$/.test(kind) || 'kind must be lower-case letters, digits and dashes, at most 50',
      'empty' in options || 'empty is missing',
      isFunction('merge', merge, true),
      isFunction('compare', compare, false),
      isFunction('encode', encode, false),
      isFunction('decode', decode, false),
    ],
  )
  return Object.freeze({
    kind,
    empty: options.empty,
    merge,
    ...(compare && { compare }),
    encode: encode ?? ((state: S): unknown => state),
    decode: decode ?? ((json: unknown): S => json as S),
  })
}

/** A whole number within what JSON carries. @throws ConfigError */
export function checkWhole(subject: string, name: string, value: unknown, min: number): void {
  if (!Number.isSafeInteger(value) || (value as number) < min)
    throw new ConfigError(subject, [
      `${name} must be a whole number from ${min} to 2^53 - 1, got ${String(value)}`,
    ])
}
