// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction
import { canonical } from '../../core/canonical.ts'
import type { Model, ModelOperation } from './model.ts'
import type { Operation } from './operation.ts'

/** Operations alike, numbered. */
export interface Classes {
  readonly classes: readonly ModelOperation[]
  readonly classOf: Int32Array
  /** Classes without an answer, and for each operation its place among them or -1. */
  readonly optionalClasses: readonly number[]
  readonly optionalOf: Int32Array
}

export function classify(operations: readonly Operation[], model: Model): Classes {
  const classes: ModelOperation[] = []
  const classOf = new Int32Array(operations.length)
  const optionalClasses: number[] = []
  const optionalOf = new Int32Array(operations.length).fill(-1)
  const numbers = new Map<string, number>()
  const optionals = new Map<number, number>()
  operations.forEach((operation, i) => {
    const { f, input, output, known, process } = operation
    const who = model.perProcess === true ? `${canonical(process)} ` : ''
    const key = `${who}${f} ${canonical(input)} ${known ? canonical(output) : '?'}`
    let number = numbers.get(key)
    if (number === undefined) {
      number = classes.length
      numbers.set(key, number)
      classes.push({ process, f, input, output, known })
    }
    classOf[i] = number
    if (known) return
    let optional = optionals.get(number)
    if (optional === undefined) {
      optional = optionalClasses.length
      optionals.set(number, optional)
      optionalClasses.push(number)
    }
    optionalOf[i] = optional
  })
  return { classes, classOf, optionalClasses, optionalOf }
}

export interface Timeline {
  /** In the order of the history: `i` is the invocation of operation `i`, `~i` its answer. */
  readonly events: Int32Array
  readonly completedAt: Float64Array
  /** A small number that no other operation has which is under way at the same time; -1 without an answer. */
  readonly slotOf: Int32Array
  readonly slots: number
}

export function timelineOf(operations: readonly Operation[]): Timeline {
  const completedAt = Float64Array.from(operations, (o) => o.completedAt)
  const known = operations.reduce((n, o) => n + (o.known ? 1 : 0), 0)
  const events = new Int32Array(operations.length + known)
  // Positions are whole numbers, so an operation's two ends can be sorted as keys with the operation behind the point.
  const ends = new Float64Array(events.length)
  const size = operations.length
  let n = 0
  for (let i = 0; i < size; i++) {
    const { invokedAt, completedAt: until, known: answered } = operations[i]!
    ends[n++] = invokedAt * 2 * size + i
    if (answered) ends[n++] = (until * 2 + 1) * size + i
  }
  ends.sort()
  const slotOf = new Int32Array(size).fill(-1)
  const free: number[] = []
  let slots = 0
  for (let e = 0; e < n; e++) {
    const i = ends[e]! % size
    if (Math.floor(ends[e]! / size) % 2 === 0) {
      events[e] = i
      if (operations[i]!.known) slotOf[i] = free.pop() ?? slots++
    } else {
      events[e] = ~i
      free.push(slotOf[i]!)
    }
  }
  return { events, completedAt, slotOf, slots }
}
