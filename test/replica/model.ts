import type { Member } from './world.ts'

/** One write or deletion, as the test that made it knows it. */
export interface Op {
  readonly id: string
  readonly site: Member
  readonly record: string
  readonly deleted: boolean
  /** As the change said; texts of stamps sort as the stamps do. */
  readonly stamp: string
  readonly amount: number
}

/** The writes of one record that a site, or a message, knows of. */
export type Known = ReadonlySet<Op>

/**
 * What replicas must hold, by a definition that has no vectors, no dots and no merge in it: sets of writes. A write
 * replaces all that its writer had seen. What stands of a set is what no write in it replaced. A site knows what it wrote
 * and what was handed to it.
 */
export class Model {
  readonly #known = new Map<string, Set<Op>>()
  readonly #replaced = new Map<Op, Known>()

  known(site: Member, record: string): Known {
    return this.#of(site, record)
  }

  /** `seen`: what the writer had seen of the record. */
  write(op: Op, seen: Known): void {
    this.#replaced.set(op, seen)
    this.#of(op.site, op.record).add(op)
  }

  deliver(site: Member, record: string, known: Known): void {
    for (const op of known) this.#of(site, record).add(op)
  }

  /** What stands at a site, deletions included. */
  standing(site: Member, record: string): Op[] {
    const known = [...this.#of(site, record)]
    const gone = new Set(known.flatMap((op) => [...(this.#replaced.get(op) ?? [])]))
    return known.filter((op) => !gone.has(op))
  }

  #of(site: Member, record: string): Set<Op> {
    const key = `${site}/${record}`
    const found = this.#known.get(key) ?? new Set()
    this.#known.set(key, found)
    return found
  }
}

export type Policy = 'customer' | 'cart' | 'stock' | 'note'

/** How a record must read, as a text that is compared. */
export function expectedReading(policy: Policy, standing: readonly Op[], known: Known): string {
  if (policy === 'stock') return String([...known].reduce((sum, op) => sum + op.amount, 0))
  const kept = standing.filter((op) => !op.deleted)
  if (policy === 'customer') {
    const [last] = standing.toSorted((a, b) => (a.stamp < b.stamp ? 1 : -1))
    return last === undefined || last.deleted ? '' : last.id
  }
  return kept
    .map((op) => op.id)
    .sort()
    .join(' ')
}
