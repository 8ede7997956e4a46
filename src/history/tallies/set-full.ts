import { canonical } from '../../core/canonical.ts'
import { elementsOf } from '../linearizability/models.ts'
import type { Operation } from '../linearizability/operation.ts'
import { show } from '../show.ts'
import { MalformedHistoryError } from '../transactions/malformed.ts'
import type { Tally } from './check-tally.ts'

interface Element {
  readonly add: Operation
  /** Since when it is known to be inside: the answer to an add, or to the first read that saw it. */
  knownAt: number
  /** Of the reads that saw it, the one that was sent last. */
  lastSeen: Operation | undefined
}

/**
 * A set that is added to and read as a whole: an element is lost when it is known to be inside, and reads which were sent after
 * that, and after every read that saw it, miss it. Reads may be stale in between; where they must not be, `set` checks
 * linearizability. An element that no such read was sent for is neither stable nor lost.
 */
export const setFull: Tally = {
  name: 'set-full',
  operations: ['add', 'read'],
  check(operations, note, unit) {
    const elements = new Map<string, Element>()
    const reads: Operation[] = []
    for (const operation of operations) {
      const { f, input, known, completedAt } = operation
      if (f === 'read') {
        if (known) reads.push(operation)
        continue
      }
      const name = canonical(input)
      const element = elements.get(name)
      if (element === undefined)
        elements.set(name, { add: operation, knownAt: completedAt, lastSeen: undefined })
      else element.knownAt = Math.min(element.knownAt, completedAt)
    }
    for (const read of reads) {
      const seen = elementsOf(read.output)
      if (seen === undefined) {
        const problem = `a read must answer a list of the elements, got ${show(read.output)}`
        throw new MalformedHistoryError(read.completedLine, problem, unit)
      }
      if (Array.isArray(read.output) && read.output.length !== seen.size) {
        note('duplicated', 'A read answered an element twice.', [read])
      }
      for (const name of seen) {
        const element = elements.get(name)
        if (element === undefined || element.add.invokedAt > read.completedAt) {
          note('unexpected', `A read answered ${name}, which nobody had added.`, [read])
          continue
        }
        element.knownAt = Math.min(element.knownAt, read.completedAt)
        if (element.lastSeen === undefined || element.lastSeen.invokedAt < read.invokedAt)
          element.lastSeen = read
      }
    }
    // Sent after the last read that saw an element, a read missed it.
    const last = reads.reduce<Operation | undefined>(
      (a, b) => (a !== undefined && a.invokedAt > b.invokedAt ? a : b),
      undefined,
    )
    let stable = 0
    for (const { add, knownAt, lastSeen } of elements.values()) {
      const seenAt = lastSeen?.invokedAt ?? -1
      if (last === undefined || last.invokedAt <= Math.max(knownAt, seenAt)) {
        if (lastSeen !== undefined && lastSeen === last) stable++
        continue
      }
      const when =
        lastSeen === undefined ? 'and no read that was sent after that saw it' : 'was read, and then no more'
      note('lost', `${show(add.input)} was added ${when}.`, [
        add,
        ...(lastSeen === undefined ? [] : [lastSeen]),
        last,
      ])
    }
    return stable === 0 ? { unknown: 'no element was seen by the read that was sent last' } : {}
  },
}
