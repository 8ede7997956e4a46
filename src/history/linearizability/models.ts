import { canonical } from '../../core/canonical.ts'
import { show } from '../show.ts'
import type { Model, ModelOperation } from './model.ts'
import { multiRegister } from './multi-register.ts'
import { stepsOfDrains } from './queue-drain.ts'

/** Two values with the same contents; the usual cases without making texts. */
function same(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' && typeof b !== 'object' && typeof a === typeof b) return false
  return canonical(a) === canonical(b)
}

const orNull = (value: unknown): unknown => (value === undefined ? null : value)

/** A variable with `read` and `write`; `nil` at first unless told otherwise. */
export function register(initial: unknown = null): Model {
  return {
    name: 'register',
    operations: ['read', 'write'],
    init: () => orNull(initial),
    step: stepRegister,
    readOnly: readsRegister,
  }
}

/** A register with `cas` of `[expected, new]`: an answer of `false` says that it compared unequal. */
export function casRegister(initial: unknown = null): Model {
  return {
    name: 'cas-register',
    operations: ['read', 'write', 'cas'],
    init: () => orNull(initial),
    problem: problemOfPair,
    step: stepRegister,
    readOnly: readsRegister,
  }
}

function problemOfPair({ f, input }: ModelOperation): string | undefined {
  return f === 'cas' && !(Array.isArray(input) && input.length === 2)
    ? `cas takes a pair [expected, new], got ${show(input)}`
    : undefined
}

function readsRegister(op: ModelOperation): boolean {
  if (op.f === 'read' || op.f === 'get') return true
  if (op.f !== 'cas') return false
  const [from, to] = Array.isArray(op.input) ? op.input : []
  return (op.known && op.output === false) || same(orNull(from), orNull(to))
}

function stepRegister(state: unknown, op: ModelOperation): unknown {
  if (op.f === 'read') return !op.known || same(state, orNull(op.output)) ? state : undefined
  if (op.f === 'write') return orNull(op.input)
  const [from, to] = op.input as [unknown, unknown]
  const equal = same(state, orNull(from))
  if (op.known && op.output === false) return equal ? undefined : state
  if (equal) return orNull(to)
  return op.known ? undefined : state
}

/**
 * Keys with values: `get`, `put`, `append` (texts), `delete`, `cas` of `[expected, new]`; `read` and `write` are other
 * names of `get` and `put`. Each key is an object of its own.
 */
export function kv(initial: unknown = null): Model {
  return {
    name: 'kv',
    operations: ['get', 'put', 'append', 'delete', 'cas', 'read', 'write'],
    init: () => orNull(initial),
    problem: (op) =>
      op.f === 'append' && !['string', 'number', 'bigint'].includes(typeof op.input)
        ? `append takes a text, got ${show(op.input)}`
        : problemOfPair(op),
    readOnly: readsRegister,
    step(state, op) {
      switch (op.f) {
        case 'get':
          return !op.known || same(state, orNull(op.output)) ? state : undefined
        case 'put':
          return orNull(op.input)
        case 'append':
          return `${state ?? ''}${op.input}`
        case 'delete':
          return orNull(initial)
        default:
          return stepRegister(state, op)
      }
    },
  }
}

/**
 * First in, first out: `enqueue`, `dequeue`; a dequeue that answers `nil` says that the queue was empty. A `drain` dequeues
 * until the queue is empty and answers the list.
 */
export const queue: Model<readonly unknown[]> = {
  name: 'queue',
  operations: ['enqueue', 'dequeue', 'drain'],
  steps: stepsOfDrains,
  init: () => [],
  problem: (op) => (op.f === 'enqueue' ? problemOfNothing(op) : undefined),
  readOnly: (op) => op.f === 'dequeue' && op.known && orNull(op.output) === null,
  step(state, op) {
    if (op.f === 'enqueue') return [...state, op.input]
    if (!op.known) return state.slice(1)
    if (op.output === null || op.output === undefined) return state.length === 0 ? state : undefined
    return state.length > 0 && same(state[0], op.output) ? state.slice(1) : undefined
  },
}

interface Bag {
  /** The values as texts, sorted. */
  readonly items: readonly string[]
  /** How many of them dequeues without an answer have taken. Which, is not known: none that a later dequeue answers. */
  readonly taken: number
}

/**
 * A queue that keeps no order, as Knossos' `unordered-queue`: `enqueue`, `dequeue`, `drain` as of the queue. A dequeue without
 * an answer may have taken any value. Only an empty queue tells that it took one, so which it was is left open until then.
 */
export const unorderedQueue: Model<Bag> = {
  name: 'unordered-queue',
  operations: ['enqueue', 'dequeue', 'drain'],
  steps: stepsOfDrains,
  init: () => ({ items: [], taken: 0 }),
  problem: (op) => (op.f === 'enqueue' ? problemOfNothing(op) : undefined),
  step({ items, taken }, { f, input, output, known }) {
    if (f === 'enqueue') return { items: [...items, canonical(input)].sort(), taken }
    if (!known) return { items, taken: Math.min(taken + 1, items.length) }
    if (output === null || output === undefined)
      return items.length === taken ? { items: [], taken: 0 } : undefined
    const at = items.indexOf(canonical(output))
    return at < 0 || items.length === taken ? undefined : { items: items.toSpliced(at, 1), taken }
  },
}

/** What is wrong with putting in nothing. */
export function problemOfNothing({ f, input }: ModelOperation): string | undefined {
  return orNull(input) === null ? `${f} takes a value; as an answer null says that there was none` : undefined
}

/** Last in, first out: `push`, `pop`; a pop that answers `nil` says that the stack was empty. */
export const stack: Model<readonly unknown[]> = {
  name: 'stack',
  operations: ['push', 'pop'],
  init: () => [],
  problem: (op) => (op.f === 'push' ? problemOfNothing(op) : undefined),
  readOnly: (op) => op.f === 'pop' && op.known && orNull(op.output) === null,
  step(state, op) {
    if (op.f === 'push') return [...state, op.input]
    if (!op.known) return state.slice(0, -1)
    if (op.output === null || op.output === undefined) return state.length === 0 ? state : undefined
    return state.length > 0 && same(state.at(-1), op.output) ? state.slice(0, -1) : undefined
  },
}

/**
 * A set: `add`, `remove`, `contains` (answers true or false; the element is the value), `read` (answers all elements).
 * `add` and `remove` may answer whether they changed the set, as `result`.
 */
export const set: Model<ReadonlySet<string>> = {
  name: 'set',
  operations: ['add', 'remove', 'contains', 'read'],
  init: () => new Set(),
  problem({ f, output, known }) {
    if (f === 'contains' && known && typeof output !== 'boolean')
      return `contains must answer true or false, got ${show(output)}`
    if (f === 'read' && known && elementsOf(output) === undefined)
      return `a read must answer a list of the elements, got ${show(output)}`
    return undefined
  },
  readOnly: (op) =>
    op.f === 'read' ||
    op.f === 'contains' ||
    (op.known && op.output === false && typeof op.input !== 'boolean'),
  hash: (state) => [...state].sort().join(','),
  equal: (a, b) => a.size === b.size && [...a].every((element) => b.has(element)),
  step(state, op) {
    if (op.f === 'read') {
      if (!op.known) return state
      const seen = elementsOf(op.output)
      if (seen === undefined || seen.size !== state.size) return undefined
      for (const element of seen) if (!state.has(element)) return undefined
      return state
    }
    const element = canonical(op.input)
    const has = state.has(element)
    if (op.f === 'contains') return !op.known || has === op.output ? state : undefined
    if (op.known && typeof op.output === 'boolean' && typeof op.input !== 'boolean') {
      if (op.output !== (op.f === 'add' ? !has : has)) return undefined
    }
    if (has === (op.f === 'add')) return state
    const next = new Set(state)
    if (op.f === 'add') next.add(element)
    else next.delete(element)
    return next
  },
}

/** The elements as texts, or undefined when there is no list of them. */
export function elementsOf(value: unknown): Set<string> | undefined {
  if (value === null || value === undefined) return new Set()
  if (Array.isArray(value) || value instanceof Set) return new Set([...value].map(canonical))
  return undefined
}

/** A number: `add` of an amount, `increment`, `decrement`, `read`; 0 at first. */
export const counter: Model<bigint> = {
  name: 'counter',
  operations: ['add', 'increment', 'decrement', 'read'],
  init: () => 0n,
  problem({ f, input, output, known }) {
    if (f === 'read')
      return known && whole(output) === undefined
        ? `a read must answer a whole number, got ${show(output)}`
        : undefined
    return whole(input) === undefined && (f === 'add' || orNull(input) !== null)
      ? `${f} takes a whole number, got ${show(input)}`
      : undefined
  },
  readOnly: (op) => op.f === 'read',
  hash: (state) => `${state}`,
  equal: (a, b) => a === b,
  step(state, op) {
    if (op.f === 'read') return !op.known || whole(op.output) === state ? state : undefined
    if (op.f === 'increment') return state + (amount(op.input) ?? 1n)
    if (op.f === 'decrement') return state - (amount(op.input) ?? 1n)
    const by = amount(op.input)
    return by === undefined ? undefined : state + by
  },
}

function whole(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value)
  return undefined
}
const amount = (value: unknown): bigint | undefined =>
  value === null || value === undefined ? undefined : whole(value)

/** Mutual exclusion: `acquire` and `release`; only the holder can release. */
export const lock: Model<string | null> = {
  name: 'lock',
  operations: ['acquire', 'release'],
  perProcess: true,
  init: () => null,
  readOnly: (op) => op.f === 'acquire' && op.known && op.output === false,
  step(holder, op) {
    const process = canonical(op.process)
    if (op.f === 'acquire') {
      if (op.known && op.output === false) return holder === null ? undefined : holder
      return holder === null ? process : op.known ? undefined : holder
    }
    return holder === process ? null : op.known ? undefined : holder
  },
}

/** A lock that does not know its holder, as Knossos' `mutex`: anyone may release what is held. */
export const mutex: Model<boolean> = {
  name: 'mutex',
  operations: ['acquire', 'release'],
  init: () => false,
  readOnly: (op) => op.f === 'acquire' && op.known && op.output === false,
  step(held, op) {
    if (op.f === 'acquire') {
      if (op.known && op.output === false) return held ? held : undefined
      return held && op.known ? undefined : true
    }
    return held || !op.known ? false : undefined
  },
}

/**
 * A lock whose `acquire` answers a fencing token, each larger than those before, or `false` when it is held; `release` may name
 * the token.
 */
export const fencedLock: Model<{ readonly holder: string | null; readonly token: string }> = {
  name: 'fenced-lock',
  operations: ['acquire', 'release'],
  perProcess: true,
  readOnly: (op) => op.f === 'acquire' && op.known && op.output === false,
  init: () => ({ holder: null, token: '' }),
  problem: ({ f, output, known }) =>
    f === 'acquire' && known && output !== false && whole(output) === undefined
      ? `acquire must answer the fencing token, a whole number, or false, got ${show(output)}`
      : undefined,
  step(state, op) {
    const process = canonical(op.process)
    if (op.f === 'acquire') {
      if (op.known && op.output === false) return state.holder === null ? undefined : state
      if (state.holder !== null) return op.known ? undefined : state
      // Nobody knows the token of a lost answer; it was at least the one after the last, and the next is larger still.
      if (!op.known) {
        return { holder: process, token: state.token === '' ? '' : `${BigInt(state.token) + 1n}` }
      }
      const token = whole(op.output)
      if (token === undefined || (state.token !== '' && token <= BigInt(state.token))) return undefined
      return { holder: process, token: `${token}` }
    }
    if (state.holder !== process) return op.known ? undefined : state
    return { holder: null, token: state.token }
  },
}

/** The models by the names that the command line takes. `initial` is the value of an object that nobody wrote yet. */
export const LINEARIZABLE_MODELS = [
  'register',
  'cas-register',
  'multi-register',
  'kv',
  'queue',
  'unordered-queue',
  'stack',
  'set',
  'counter',
  'lock',
  'mutex',
  'fenced-lock',
] as const
export type LinearizableModel = (typeof LINEARIZABLE_MODELS)[number]

export function linearizableModel(name: LinearizableModel, initial?: unknown): Model {
  switch (name) {
    case 'register':
      return register(initial)
    case 'cas-register':
      return casRegister(initial)
    case 'multi-register':
      return multiRegister(initial) as Model
    case 'kv':
      return kv(initial)
    case 'queue':
      return queue as Model
    case 'unordered-queue':
      return unorderedQueue as Model
    case 'stack':
      return stack as Model
    case 'set':
      return set as Model
    case 'counter':
      return counter as Model
    case 'lock':
      return lock as Model
    case 'mutex':
      return mutex as Model
    case 'fenced-lock':
      return fencedLock as Model
  }
}
