// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction
import { show } from '../show.ts'
import type { Operation } from './operation.ts'
import { Numbers, sortedBy } from './unique-values.ts'

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
  const numbers = new Numbers(count)
  const writeOf = new Int32Array(count + 1).fill(-1)
  // Cluster 0 is the initial value, written before everything.
  numbers.add(initial ?? null, 0)
  let clusters = 1
  for (let i = 0; i < count; i++) {
    const { f, input } = operations[i]!
    if (f === writes) {
      if (!numbers.add(input ?? null, clusters)) return undefined
      writeOf[clusters++] = i
    } else if (f !== reads) return undefined
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
    const c = numbers.of(operation.output ?? null)
    if (c < 0) {
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
  let many = 0
  const order = new Int32Array(clusters)
  const begin = new Float64Array(clusters)
  for (let c = 0; c < clusters; c++) {
    if (read[c] === 0 && !operations[writeOf[c]!]!.known) continue
    begin[many] = Math.min(low[c]!, high[c]!)
    order[many++] = c
  }
  const sorted = sortedBy(order.subarray(0, many), begin.subarray(0, many))
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
