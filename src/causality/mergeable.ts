import {
  type Check,
  ConfigError,
  canonicalJson,
  checkArguments,
  checkOptions,
  hasMethods,
  isFunction,
  optionsOf,
  show,
} from '../core/index.ts'
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

/** A kind of value that merges, ours or the caller's. */
export function isKind(name: string, kind: unknown): Check {
  return hasMethods(name, kind, 'a kind that merges, as growCounter or mergeable(…)', 'merge', 'encode')
}

/**
 * The kind with its states checked at the door: `merge` and `compare` take two, every other method but `decode` begins
 * with one. Callers without types may hand in what another kind made, or nothing.
 * @throws ConfigError
 */
export function ofStates<S, Kind extends Mergeable<S>>(
  kind: Kind & Mergeable<S>,
  isState: (state: S) => boolean,
): Kind {
  const guard = (name: string, method: (...given: unknown[]) => unknown) => {
    const states = name === 'merge' || name === 'compare' ? 2 : 1
    return (...given: unknown[]) => {
      const wrong =
        given.length < states ? states - 1 : given.findIndex((s, i) => i < states && !isState(s as S))
      if (wrong < 0) return method(...given)
      throw new ConfigError(`${kind.kind}.${name}`, [
        `the state must be of this kind, as .empty, .decode and its other methods give it, got ${show(given[wrong])}`,
      ])
    }
  }
  const members = Object.entries(kind).map(([name, member]) =>
    typeof member === 'function' && name !== 'decode' ? [name, guard(name, member)] : [name, member],
  )
  return Object.freeze(Object.fromEntries(members))
}

/** True when the two states are the same, whatever the order in which they hold their parts. */
export function sameState<S>(kind: Mergeable<S>, a: S, b: S): boolean {
  checkArguments('sameState', isKind('kind', kind))
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
  const { kind, merge, compare, encode, decode } = optionsOf('mergeable', options)
  checkOptions(
    'mergeable',
    options,
    ['kind', 'empty', 'merge', 'compare', 'encode', 'decode'],
    [
      (typeof kind === 'string' && /^[a-z][a-z0-9-]{0,49}$/.test(kind)) ||
        'kind must be lower-case letters, digits and dashes, at most 50',
      'empty' in options || 'empty is missing',
      isFunction('merge', merge),
      compare === undefined || isFunction('compare', compare),
      encode === undefined || isFunction('encode', encode),
      decode === undefined || isFunction('decode', decode),
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
      `${name} must be a whole number from ${min} to 2^53 - 1, got ${show(value)}`,
    ])
}
