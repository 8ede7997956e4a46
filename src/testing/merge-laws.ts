import { type Mergeable, sameState } from '../causality/index.ts'
import { canonicalJson } from '../core/index.ts'
import {
  type Check,
  checkArguments,
  checkOptions,
  hasMethods,
  isCount,
  isFunction,
  isList,
  isObject,
  optionsOf,
  show,
} from '../core/options.ts'

/** A law that does not hold, with the states that show it, as JSON. */
export interface BrokenLaw {
  readonly law:
    | 'identity'
    | 'idempotent'
    | 'commutative'
    | 'associative'
    | 'monotone'
    | 'inflation'
    | 'order'
    | 'encoding'
    | 'convergence'
  readonly states: readonly string[]
}

/**
 * Looks for a law that the states break: every state, every pair, every triple. Undefined when all hold.
 *
 * Bounds: n³ merges for n states. Give states that come from one run (`mergeRun`): a law may well fail for states that
 * cannot meet, such as two in which one dot has two values.
 */
export function brokenMergeLaw<S>(kind: Mergeable<S>, states: readonly S[]): BrokenLaw | undefined {
  checkArguments('brokenMergeLaw', isKind('kind', kind), isList('states', states))
  const same = (a: S, b: S) => sameState(kind, a, b)
  const { merge, empty } = kind
  const broken = (law: BrokenLaw['law'], ...states: S[]): BrokenLaw => ({
    law,
    states: shown(kind, ...states),
  })
  for (const a of states) {
    if (!same(merge(empty, a), a) || !same(merge(a, empty), a)) return broken('identity', a)
    if (!same(merge(a, copyOf(kind, a)), a)) return broken('idempotent', a)
    if (!same(copyOf(kind, a), a)) return broken('encoding', a)
  }
  for (const a of states)
    for (const b of states) {
      const ab = merge(a, b)
      if (!same(ab, merge(b, a))) return broken('commutative', a, b)
      if (!same(merge(a, ab), ab) || !same(merge(ab, b), ab)) return broken('monotone', a, b)
      if (!isOrderRight(kind, a, b, ab)) return broken('order', a, b)
      for (const c of states)
        if (!same(merge(ab, c), merge(a, merge(b, c)))) return broken('associative', a, b, c)
    }
  return undefined
}

/** One thing that happens in a run: an operation at a replica, the same operation at two replicas, or a merge. */
export type RunStep<Op> =
  | { readonly at: number; readonly twin?: number; readonly op: Op }
  | { readonly from: number; readonly to: number }

export interface MergeRun<S, Op> {
  readonly kind: Mergeable<S>
  /** Names of the replicas; a step's numbers are places in this list, modulo its length. */
  readonly replicas: readonly string[]
  /** What the operation makes of the state at this replica. */
  readonly apply: (state: S, replica: string, op: Op) => S
}

/**
 * Runs the steps over replicas that start empty, and checks what came about: the laws over the last states, that no
 * operation takes anything away from a state, and that all replicas agree once each has merged the others, in
 * different orders. Undefined when all holds.
 */
export function brokenMergeRun<S, Op>(
  run: MergeRun<S, Op>,
  steps: readonly RunStep<Op>[],
): BrokenLaw | undefined {
  checkArguments('brokenMergeRun', isObject('run', run), isList('steps', steps))
  const { kind, replicas, apply } = run
  checkArguments(
    'brokenMergeRun',
    isKind('kind', kind),
    isList('replicas', replicas),
    isFunction('apply', apply),
  )
  const place = (i: number) => i % replicas.length
  const states = replicas.map(() => kind.empty)
  const changes: { before: S; after: S }[] = []
  for (const step of steps) {
    if ('op' in step) {
      for (const at of step.twin === undefined ? [step.at] : [step.at, step.twin]) {
        const before = states[place(at)] as S
        const after = apply(before, replicas[place(at)] as string, step.op)
        changes.push({ before, after })
        states[place(at)] = after
      }
    } else {
      states[place(step.to)] = kind.merge(states[place(step.to)] as S, states[place(step.from)] as S)
    }
  }
  return (
    brokenMergeLaw(kind, [...states, ...changes.slice(-4).map((change) => change.after)]) ??
    brokenInflation(kind, changes) ??
    brokenConvergence(kind, states)
  )
}

/** The part of fast-check that the law kit calls. The application brings it. */
export interface FastCheckLike {
  // fast-check's arbitraries are generic in ways that a structural type cannot follow
  // biome-ignore lint/suspicious/noExplicitAny: the driver's edge
  readonly nat: any
  // biome-ignore lint/suspicious/noExplicitAny: the driver's edge
  readonly record: any
  // biome-ignore lint/suspicious/noExplicitAny: the driver's edge
  readonly oneof: any
  // biome-ignore lint/suspicious/noExplicitAny: the driver's edge
  readonly array: any
  // biome-ignore lint/suspicious/noExplicitAny: the driver's edge
  readonly property: any
  // biome-ignore lint/suspicious/noExplicitAny: the driver's edge
  readonly assert: any
}

/**
 * Checks the laws of a kind with fast-check over random runs of three replicas. Ties are forced: the same operation at
 * two replicas at once is as likely as at one. Fails as `fc.assert` does, with the smallest run that breaks a law.
 *
 * @param operations an arbitrary of the kind's operations, with few values so that they meet
 */
export function assertMergeLaws<S, Op>(
  fc: FastCheckLike,
  options: {
    readonly kind: Mergeable<S>
    readonly operations: unknown
    readonly apply: (state: S, replica: string, op: Op) => S
  },
  parameters: { readonly seed?: number; readonly numRuns?: number } = {},
): void {
  checkArguments(
    'assertMergeLaws',
    hasMethods('fc', fc, 'fast-check', 'nat', 'oneof', 'record', 'assert'),
    isObject('options', options),
  )
  checkOptions(
    'assertMergeLaws',
    options,
    ['kind', 'operations', 'apply'],
    [isKind('kind', options.kind), isFunction('apply', options.apply)],
  )
  const { seed, numRuns } = optionsOf('assertMergeLaws', parameters)
  checkOptions(
    'assertMergeLaws',
    parameters,
    ['seed', 'numRuns'],
    [
      seed === undefined || Number.isInteger(seed) || `seed must be a whole number, got ${show(seed)}`,
      numRuns === undefined || isCount('numRuns', numRuns, 1, 1_000_000_000),
    ],
  )
  const place = fc.nat({ max: 2 })
  const step = fc.oneof(
    fc.record({ at: place, op: options.operations }),
    fc.record({ at: place, twin: place, op: options.operations }),
    fc.record({ from: place, to: place }),
  )
  const run = { kind: options.kind, replicas: ['a', 'b', 'c'], apply: options.apply }
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps: RunStep<Op>[]) => {
      const broken = brokenMergeRun(run, steps)
      if (broken) throw new Error(`${options.kind.kind} is not ${broken.law}: ${broken.states.join(' and ')}`)
    }),
    { includeErrorInReport: true, ...parameters },
  )
}

function brokenInflation<S>(
  kind: Mergeable<S>,
  changes: readonly { before: S; after: S }[],
): BrokenLaw | undefined {
  for (const { before, after } of changes)
    if (!sameState(kind, kind.merge(before, after), after))
      return { law: 'inflation', states: shown(kind, before, after) }
  return undefined
}

function brokenConvergence<S>(kind: Mergeable<S>, states: readonly S[]): BrokenLaw | undefined {
  const ends = states.map((own, i) => [...states.slice(i), ...states.slice(0, i)].reduce(kind.merge, own))
  const odd = ends.find((end) => !sameState(kind, end, ends[0] as S))
  return odd === undefined ? undefined : { law: 'convergence', states: shown(kind, ends[0] as S, odd) }
}

function shown<S>(kind: Mergeable<S>, ...states: S[]): string[] {
  return states.map((state) => canonicalJson(kind.encode(state)))
}

function copyOf<S>(kind: Mergeable<S>, state: S): S {
  return kind.decode(JSON.parse(JSON.stringify(kind.encode(state))))
}

function isOrderRight<S>(kind: Mergeable<S>, a: S, b: S, ab: S): boolean {
  if (!kind.compare) return true
  const [aIsAll, bIsAll] = [sameState(kind, ab, a), sameState(kind, ab, b)]
  const want = aIsAll ? (bIsAll ? 'equal' : 'after') : bIsAll ? 'before' : 'concurrent'
  return kind.compare(a, b) === want
}

function isKind(name: string, kind: unknown): Check {
  return hasMethods(
    name,
    kind,
    'a kind that merges, as growCounter or mergeable(…)',
    'merge',
    'encode',
    'decode',
  )
}
