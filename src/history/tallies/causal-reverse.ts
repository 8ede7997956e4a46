import { canonical } from '../../core/canonical.ts'
import { elementsOf } from '../linearizability/models.ts'
import type { Operation } from '../linearizability/operation.ts'
import { show } from '../show.ts'
import { MalformedHistoryError } from '../transactions/malformed.ts'
import type { Tally } from './check-tally.ts'

/**
 * Writes of different values, and reads of all that are there: a read that sees a write must see every write that had been
 * answered before that one was sent. Strict serializability forbids what serializability alone allows here.
 */
export const causalReverse: Tally = {
  name: 'causal-reverse',
  operations: ['write', 'read'],
  check(operations, note, unit) {
    const writeOf = new Map<string, Operation>()
    for (const operation of operations) {
      if (operation.f !== 'write') continue
      const name = canonical(operation.input)
      if (writeOf.has(name)) {
        const problem = `${show(operation.input)} is written twice, so it is not known which write a read saw`
        throw new MalformedHistoryError(operation.invokedLine, problem, unit)
      }
      writeOf.set(name, operation)
    }
    const answered = [...writeOf.entries()]
      .filter(([, write]) => write.known)
      .sort(([, a], [, b]) => a.completedAt - b.completedAt)
    let reads = 0
    for (const read of operations) {
      if (read.f !== 'read' || !read.known) continue
      reads++
      const seen = elementsOf(read.output)
      if (seen === undefined) {
        const problem = `a read must answer a list of the values, got ${show(read.output)}`
        throw new MalformedHistoryError(read.completedLine, problem, unit)
      }
      let latest: Operation | undefined
      for (const name of seen) {
        const write = writeOf.get(name)
        if (write === undefined || write.invokedAt > read.completedAt)
          note('unexpected', `A read answered ${name}, which nobody had written.`, [read])
        else if (latest === undefined || write.invokedAt > latest.invokedAt) latest = write
      }
      const missed = answered.find(([name]) => !seen.has(name))?.[1]
      if (latest === undefined || missed === undefined || missed.completedAt >= latest.invokedAt) continue
      const [first, second] = [show(missed.input), show(latest.input)]
      note('causal-reverse', `A read saw ${second} and not ${first}, which was written before it.`, [
        missed,
        latest,
        read,
      ])
    }
    return reads === 0 ? { unknown: 'no read answered' } : {}
  },
}
