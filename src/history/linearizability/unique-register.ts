// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction
import { canonical, show } from '../canonical.ts'
import type { Operation } from './operation.ts'

export interface FastFailure {
  readonly explanation: string
  /** Indices of the operations that show it. */
  readonly operations: readonly number[]
}

/** `undefined`: this way does not apply. Otherwise what is wrong, or `null` when nothing is. */
export type FastAnswer = FastFailure | null | undefined

/**
 * A register whose values are each written once, in one pass and a sort (Gibbons and Korach, "Testing shared memories",
 * SIAM J. Comput. 26(4), 1997, section 4.2). A write and the reads of its value form a cluster, whose zone goes from
 * the earliest answer in it to the latest invocation. A zone in which an answer comes before an invocation is one
 * during which the register must hold that value: two such must not overlap, and no other zone may lie inside one.
 *
 * `reads` and `writes` are the names of the two operations.
 */
export function checkUniqueRegister(
  operations: readonly Operation[],
  initial: unknown,
  reads: string,
  writes: string,
): FastAnswer {
  const count = operations.length
  const numbers = new Map<unknown, number>()
  const writeOf = new Int32Array(count + 1).fill(-1)
  // Cluster 0 is the initial value, written before everything.
  numbers.set(keyOf(initial ?? null), 0)
  let clusters = 1
  for (let i = 0; i < count; i++) {
    const { f, input, known } = operations[i]!
    if (f === writes) {
      const key = keyOf(input ?? null)
      if (numbers.has(key)) return undefined
      writeOf[clusters] = i
      numbers.set(key, clusters++)
    } else if (f !== reads) return undefined
    else if (!known) continue
  }
  const low = new Float64Array(clusters) // earliest answer
  const high = new Float64Array(clusters) // latest invocation
  const lowOf = new Int32Array(clusters).fill(-1)
  const highOf = new Int32Array(clusters).fill(-1)
  const read = new Uint8Array(clusters)
  for (let c = 1; c < clusters; c++) {
    const write = operations[writeOf[c]!]!
    low[c] = write.completedAt
    high[c] = write.invokedAt
    lowOf[c] = highOf[c] = writeOf[c]!
  }
  low[0] = -1
  high[0] = -1
  read[0] = 1
  for (let i = 0; i < count; i++) {
    const operation = operations[i]!
    if (operation.f !== reads || !operation.known) continue
    const c = numbers.get(keyOf(operation.output ?? null))
    if (c === undefined) {
      return { explanation: `It read ${show(operation.output)}, which nobody wrote.`, operations: [i] }
    }
    const write = writeOf[c]!
    if (write >= 0 && operation.completedAt < operations[write]!.invokedAt) {
      return {
        explanation: `It read ${show(operation.output)} before that was written.`,
        operations: [i, write],
      }
    }
    read[c] = 1
    if (operation.completedAt < low[c]!) {
      low[c] = operation.completedAt
      lowOf[c] = i
    }
    if (operation.invokedAt > high[c]!) {
      high[c] = operation.invokedAt
      highOf[c] = i
    }
  }
  // Zones by where they begin. A write without an answer that nobody read need not have happened.
  const order: number[] = []
  for (let c = 0; c < clusters; c++) {
    if (read[c] === 1 || operations[writeOf[c]!]!.known) order.push(c)
  }
  const begin = Float64Array.from(order, (c) => Math.min(low[c]!, high[c]!))
  const sorted = sortedBy(order, begin)
  let forward = -1 // the zone that holds the register, of those that began so far the one that ends last
  for (const c of sorted) {
    if (low[c]! < high[c]!) {
      if (forward >= 0 && low[c]! < high[forward]!) return overlap(forward, c)
      forward = c
    } else if (forward >= 0 && low[c]! < high[forward]!) return inside(forward, c)
  }
  return null

  function shownValue(c: number): string {
    return c === 0 ? show(initial) : show(operations[writeOf[c]!]!.input)
  }
  function members(...clusters: number[]): number[] {
    return [...new Set(clusters.flatMap((c) => [writeOf[c]!, lowOf[c]!, highOf[c]!]))].filter((i) => i >= 0)
  }
  function overlap(a: number, b: number): FastFailure {
    return {
      explanation: `The register must hold ${shownValue(a)} and ${shownValue(b)} at the same time: each was read, or its write had ended, before a later read that still saw it began, and these spans overlap. Each value was written once, so it cannot have come back.`,
      operations: members(a, b),
    }
  }
  function inside(a: number, b: number): FastFailure {
    return {
      explanation: `${shownValue(b)} was written, and everything that saw it happened, while the register must have held ${shownValue(a)}: an answer with ${shownValue(a)} came before, and a read that began after still saw it.`,
      operations: members(a, b),
    }
  }
}

/** Primitive values are their own key; a text and a number differ in a map. */
function keyOf(value: unknown): unknown {
  return typeof value === 'number' || value === null ? value : canonical(value)
}

/** Sorts by whole-numbered keys, which are positions and so differ but for the initial value's. */
function sortedBy(items: readonly number[], keys: Float64Array): number[] {
  let ascending = true
  for (let i = 1; ascending && i < keys.length; i++) ascending = keys[i - 1]! <= keys[i]!
  if (ascending) return items as number[]
  const size = items.length
  const combined = Float64Array.from(keys, (key, i) => (key + 1) * size + i).sort()
  return Array.from(combined, (key) => items[key % size]!)
}
