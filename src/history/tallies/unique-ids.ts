import { canonical } from '../../core/canonical.ts'
import type { Operation } from '../linearizability/operation.ts'
import { show } from '../show.ts'
import type { Tally } from './check-tally.ts'

/** Each `generate` that was answered has an id that no other has. */
export const uniqueIds: Tally = {
  name: 'unique-ids',
  operations: ['generate'],
  check(operations, note) {
    const given = new Map<string, Operation[]>()
    for (const operation of operations) {
      if (!operation.known) continue
      const id = canonical(operation.output)
      const others = given.get(id)
      if (others === undefined) given.set(id, [operation])
      else others.push(operation)
    }
    for (const same of given.values()) {
      if (same.length === 1) continue
      const [{ output }] = same as [Operation]
      note('duplicated', `Id ${show(output)} was given ${same.length} times.`, same.slice(0, 4))
    }
    return given.size === 0 ? { unknown: 'no id was answered' } : {}
  },
}
