// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction
import { canonical } from '../../core/canonical.ts'
import { show } from '../show.ts'
import { elementsOf } from './models.ts'
import type { Operation } from './operation.ts'
import type { FastAnswer } from './unique-register.ts'

/**
 * A set to which each element is added once and nothing is removed, in time linear in what the reads answered. Such a
 * set only grows, so the reads must form a chain, smaller before larger, and an element belongs between the last read
 * without it and the first with it. That fixes the order up to operations which can change places; it stands if no
 * operation had ended before one was invoked that comes in an earlier place.
 */
export function checkGrowOnlySet(operations: readonly Operation[]): FastAnswer {
  const addOf = new Map<string, number>()
  const reads: { at: number; elements: Set<string> }[] = []
  for (let i = 0; i < operations.length; i++) {
    const { f, input, output, known } = operations[i]!
    if (f === 'add') {
      const key = canonical(input)
      if (addOf.has(key) || (known && typeof output === 'boolean')) return undefined
      addOf.set(key, i)
    } else if (f !== 'read') return undefined
    else if (known) {
      const elements = elementsOf(output)
      if (elements === undefined) return undefined
      if (Array.isArray(output) && output.length !== elements.size) {
        return { explanation: 'It answered an element twice.', operations: [i] }
      }
      reads.push({ at: i, elements })
    }
  }
  reads.sort(
    (a, b) => a.elements.size - b.elements.size || operations[a.at]!.invokedAt - operations[b.at]!.invokedAt,
  )
  // Place 2r + 1 is that of the reads with the r-th content, 2r that of what was added just before.
  const place = new Int32Array(operations.length).fill(-1)
  let r = -1
  let before: ReadonlySet<string> | undefined
  let beforeAt = -1
  for (const { at, elements } of reads) {
    for (const element of before ?? []) {
      if (elements.has(element)) continue
      return {
        explanation: `One read saw ${element} and not all of what the other saw, though the set only grows: neither can come first.`,
        operations: [beforeAt, at, addOf.get(element)].filter((i) => i !== undefined),
      }
    }
    if (before === undefined || before.size !== elements.size) {
      r++
      for (const element of elements) {
        if (before?.has(element)) continue
        const add = addOf.get(element)
        if (add === undefined) {
          return { explanation: `It read ${element}, which nobody added.`, operations: [at] }
        }
        place[add] = 2 * r
      }
      before = elements
      beforeAt = at
    }
    place[at] = 2 * r + 1
  }
  const last = 2 * r + 2
  const sorted: number[] = []
  for (let i = 0; i < operations.length; i++) {
    if (place[i]! < 0 && operations[i]!.f === 'add' && operations[i]!.known) place[i] = last
    if (place[i]! >= 0) sorted.push(i)
  }
  sorted.sort((a, b) => place[a]! - place[b]!)
  let latest = -1 // of the earlier places, the operation invoked last
  let group: number[] = []
  for (const i of sorted) {
    if (group.length > 0 && place[group[0]!]! !== place[i]!) {
      for (const g of group) {
        if (latest < 0 || operations[g]!.invokedAt > operations[latest]!.invokedAt) latest = g
      }
      group = []
    }
    group.push(i)
    if (latest >= 0 && operations[i]!.completedAt < operations[latest]!.invokedAt) return late(i, latest)
  }
  return null

  function late(i: number, earlier: number): FastAnswer {
    const [a, b] = [operations[i]!, operations[earlier]!]
    const name = (o: Operation): string => (o.f === 'add' ? `the add of ${show(o.input)}` : 'a read')
    const why =
      b.f === 'read' && a.f === 'add'
        ? `did not see ${show(a.input)}`
        : 'saw or was seen by less than the other'
    return {
      explanation: `${name(a)} had ended before ${name(b)} began, which yet ${why} and so must come first.`,
      operations: [i, earlier],
    }
  }
}
