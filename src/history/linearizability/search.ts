// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction
import { Configurations, MASK, STATE, USE } from './configurations.ts'
import type { Model } from './model.ts'
import type { Operation } from './operation.ts'
import { OptionalUses } from './optional-uses.ts'
import { REFUSED, States } from './states.ts'
import { classify, type Timeline, timelineOf } from './timeline.ts'

export type SearchResult =
  | { readonly kind: 'linearizable' }
  | {
      readonly kind: 'stuck'
      /** Index in `operations` of the one that has no place: everything that had ended before it has one. */
      readonly operation: number
      /** States that the object can have been in when the answer came, some of them. */
      readonly states: readonly unknown[]
    }
  | { readonly kind: 'gave-up'; readonly reason: string }

export interface SearchLimits {
  /** True when time is up. */
  readonly expired?: (() => boolean) | undefined
  /** Configurations held at once; default 4 million. */
  readonly configurationsMax?: number | undefined
}

const STATES_SHOWN_MAX = 16

/**
 * Is there an order of the operations, each between its invocation and its answer, that the model allows?
 *
 * Just-in-time linearization (Lowe, "Testing for linearizability", 2017): goes through the history once and holds every
 * configuration in which the object may be: its state, and which of the operations under way have taken effect. An
 * operation takes effect no earlier than some answer needs it. Three reductions, each of which loses no order:
 * - A read under way takes effect at once when the state is the one that it answered: nobody can tell. (Not so a write
 *   of what is there already: it may be needed later.)
 * - Of operations alike (same name, question and answer) the one that ends first goes first: they can change places. Not
 *   so a step of an operation that has several, since the next step waits for it.
 * - Operations without an answer need not take effect: of two configurations that differ in those only, the one that
 *   used fewer can do what the other can.
 * Memory is that of one moment's configurations and not of the history's.
 */
export function search(
  operations: readonly Operation[],
  model: Model,
  limits: SearchLimits = {},
): SearchResult {
  const { classes, classOf, optionalClasses, optionalOf } = classify(operations, model)
  const timeline = timelineOf(operations)
  const uses = new OptionalUses(optionalClasses.length)
  const after = placesBefore(operations)
  const readOnly = Uint8Array.from(classes, (operation) => (model.readOnly?.(operation) === true ? 1 : 0))
  return new Run(
    timeline,
    new States(model, classes),
    classOf,
    optionalClasses,
    optionalOf,
    uses,
    readOnly,
    after,
    limits,
  ).go()
}

const NO_STEP = -2
const FIRST_STEP = -1

/** For each operation that is a step, the place of the step before it. Undefined when there are none. */
function placesBefore(operations: readonly Operation[]): Int32Array | undefined {
  if (!operations.some(({ after }) => after !== undefined)) return undefined
  const places = new Map(operations.map((operation, i) => [operation, i]))
  return Int32Array.from(operations, ({ partOf, after }) =>
    partOf === undefined ? NO_STEP : after === undefined ? FIRST_STEP : places.get(after)!,
  )
}

class Run {
  readonly #timeline: Timeline
  readonly #states: States
  readonly #classOf: Int32Array
  readonly #optionalClasses: readonly number[]
  readonly #optionalOf: Int32Array
  readonly #uses: OptionalUses
  readonly #readOnly: Uint8Array
  readonly #after: Int32Array | undefined
  readonly #limits: SearchLimits
  readonly #configurationsMax: number

  /** Operations under way, by their answers, the earliest first; and the slot of each. */
  readonly #under: number[] = []
  /** How many operations of each optional class have been invoked. */
  readonly #available: Uint32Array
  /** 1 for operations whose answer has come. */
  readonly #ended: Uint8Array
  /** Marks the classes that were tried in one expansion. */
  readonly #tried: Int32Array
  #try = 0
  #now: Configurations
  #next: Configurations
  #work = 0

  constructor(
    timeline: Timeline,
    states: States,
    classOf: Int32Array,
    optionalClasses: readonly number[],
    optionalOf: Int32Array,
    uses: OptionalUses,
    readOnly: Uint8Array,
    after: Int32Array | undefined,
    limits: SearchLimits,
  ) {
    this.#readOnly = readOnly
    this.#after = after
    this.#ended = new Uint8Array(classOf.length)
    this.#timeline = timeline
    this.#states = states
    this.#classOf = classOf
    this.#optionalClasses = optionalClasses
    this.#optionalOf = optionalOf
    this.#uses = uses
    this.#limits = limits
    this.#configurationsMax = limits.configurationsMax ?? 4_000_000
    this.#available = new Uint32Array(optionalClasses.length)
    this.#tried = new Int32Array(classOf.length + 1)
    const words = Math.ceil(Math.max(1, timeline.slots) / 32)
    this.#now = new Configurations(words, uses)
    this.#next = new Configurations(words, uses)
  }

  go(): SearchResult {
    const { events, slotOf } = this.#timeline
    const now = this.#now
    const at = now.draft()
    now.data.fill(0, at, at + now.stride)
    now.data[at + STATE] = this.#states.initial()
    now.add()
    for (const event of events) {
      if (event >= 0) {
        this.#invoke(event)
        continue
      }
      const operation = ~event
      const reason = this.#answer(operation, slotOf[operation]!)
      if (reason !== undefined) return { kind: 'gave-up', reason }
      if (this.#next.length === 0) {
        return { kind: 'stuck', operation, states: this.#possibleStates() }
      }
      this.#under.splice(this.#under.indexOf(operation), 1)
      this.#ended[operation] = 1
      const old = this.#now
      this.#now = this.#next
      this.#next = old
      if (this.#states.crowded) this.#forgetStates()
    }
    return { kind: 'linearizable' }
  }

  #invoke(operation: number): void {
    const optional = this.#optionalOf[operation]!
    if (optional >= 0) {
      this.#available[optional]!++
      return
    }
    const { slotOf, completedAt } = this.#timeline
    const kind = this.#classOf[operation]!
    let i = this.#under.length
    while (i > 0 && completedAt[this.#under[i - 1]!]! > completedAt[operation]!) i--
    this.#under.splice(i, 0, operation)
    if (this.#readOnly[kind] === 0) return
    const { data, stride, length } = this.#now
    const slot = slotOf[operation]!
    const word = MASK + (slot >> 5)
    const bit = 1 << (slot & 31)
    for (let at = 0; at < length * stride; at += stride) {
      const state = data[at + STATE]!
      if (state >= 0 && !this.#mustWait(operation, data, at) && this.#states.step(state, kind) !== REFUSED)
        data[at + word]! |= bit
    }
  }

  /** Fills `#next` with the configurations in which the operation has taken effect. A reason when it gave up. */
  #answer(_operation: number, slot: number): string | undefined {
    const now = this.#now
    const next = this.#next
    const word = MASK + (slot >> 5)
    const bit = 1 << (slot & 31)
    // All that were there are looked at, also those found on the way, which stand behind them.
    for (let row = 0; row < now.length; row++) {
      const at = row * now.stride
      if (now.data[at + STATE]! < 0 || (now.data[at + word]! & bit) !== 0) continue
      this.#expand(at)
      if (++this.#work % 1024 === 0 && this.#limits.expired?.() === true) return 'time is up'
      if (now.length > this.#configurationsMax) {
        return `more than ${this.#configurationsMax} ways to order the operations under way are open at once`
      }
    }
    next.clear()
    const { data, stride, length } = now
    for (let at = 0; at < length * stride; at += stride) {
      if (data[at + STATE]! < 0 || (data[at + word]! & bit) === 0) continue
      const to = next.draft()
      next.data.set(data.subarray(at, at + stride), to)
      next.data[to + word]! &= ~bit
      next.add()
    }
    return undefined
  }

  #expand(from: number): void {
    const now = this.#now
    const state = now.data[from + STATE]!
    const mark = ++this.#try
    for (const operation of this.#under) {
      const slot = this.#timeline.slotOf[operation]!
      if ((now.data[from + MASK + (slot >> 5)]! & (1 << (slot & 31))) !== 0) continue
      const kind = this.#classOf[operation]!
      // One that could take effect here has been settled.
      if (this.#readOnly[kind] === 1 || this.#mustWait(operation, now.data, from)) continue
      // A step cannot change places with one alike that goes first: others wait for it.
      if (this.#tried[kind] === mark && (this.#after?.[operation] ?? NO_STEP) === NO_STEP) continue
      this.#tried[kind] = mark
      const after = this.#states.step(state, kind)
      if (after === REFUSED) continue
      const to = now.draft()
      now.data.copyWithin(to, from, from + now.stride)
      now.data[to + STATE] = after
      now.data[to + MASK + (slot >> 5)]! |= 1 << (slot & 31)
      this.#settle(to, after)
      now.add()
    }
    const use = now.data[from + USE]!
    for (let optional = 0; optional < this.#optionalClasses.length; optional++) {
      if (this.#uses.count(use, optional) >= this.#available[optional]!) continue
      const after = this.#states.step(state, this.#optionalClasses[optional]!)
      if (after === REFUSED || after === state) continue
      const to = now.draft()
      now.data.copyWithin(to, from, from + now.stride)
      now.data[to + STATE] = after
      now.data[to + USE] = this.#uses.plus(use, optional)
      this.#settle(to, after)
      now.add()
    }
  }

  /** Whether an operation under way is a step whose turn has not come in that configuration. */
  #mustWait(operation: number, data: Int32Array, at: number): boolean {
    if (this.#after === undefined) return false
    const before = this.#after[operation]!
    if (before < 0 || this.#ended[before] === 1) return false
    const slot = this.#timeline.slotOf[before]!
    return (data[at + MASK + (slot >> 5)]! & (1 << (slot & 31))) === 0
  }

  /** Reads under way that answered this state take effect. */
  #settle(at: number, state: number): void {
    const { data } = this.#now
    for (const operation of this.#under) {
      if (this.#readOnly[this.#classOf[operation]!] === 0) continue
      const slot = this.#timeline.slotOf[operation]!
      const word = at + MASK + (slot >> 5)
      const bit = 1 << (slot & 31)
      if (
        (data[word]! & bit) === 0 &&
        !this.#mustWait(operation, data, at) &&
        this.#states.step(state, this.#classOf[operation]!) !== REFUSED
      ) {
        data[word]! |= bit
      }
    }
  }

  #possibleStates(): unknown[] {
    const { data, stride, length } = this.#now
    const seen = new Set<number>()
    for (let at = 0; at < length * stride && seen.size < STATES_SHOWN_MAX; at += stride) {
      if (data[at + STATE]! >= 0) seen.add(data[at + STATE]!)
    }
    return [...seen].map((number) => this.#states.state(number))
  }

  #forgetStates(): void {
    const { data, stride, length } = this.#now
    const live = new Set<number>()
    for (let at = 0; at < length * stride; at += stride) if (data[at]! >= 0) live.add(data[at]!)
    const numbers = this.#states.keepOnly(live)
    const old = data.slice(0, length * stride)
    this.#now.clear()
    for (let at = 0; at < old.length; at += stride) {
      if (old[at]! < 0) continue
      const to = this.#now.draft()
      this.#now.data.set(old.subarray(at, at + stride), to)
      this.#now.data[to + STATE] = numbers.get(old[at]!)!
      this.#now.add()
    }
  }
}
