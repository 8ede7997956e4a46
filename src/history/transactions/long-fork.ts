import type { TransactionAnomaly } from './check.ts'
import { NIL, type TransactionHistory, WRITE } from './history.ts'
import { resolveReads } from './reads.ts'

/**
 * A long fork (Sovran et al., "Transactional storage for geo-replicated systems", SOSP 2011): of two reads of the same
 * keys, each sees a write that the other misses. Keys are written once, so among reads of the same keys a fork is there
 * exactly when two of them, ordered by how much they saw, cannot be compared. Linear but for the sorting.
 */
export function findLongForks(h: TransactionHistory): TransactionAnomaly[] {
  const { source } = resolveReads(h)
  const groups = new Map<string, { t: number; seen: boolean[]; count: number; keys: number[] }[]>()
  for (let t = 0; t < h.transactions; t++) {
    const read = new Map<number, boolean>()
    for (let op = h.first[t] as number; op < (h.first[t + 1] as number); op++) {
      if ((source[op] as number) >= NIL) read.set(h.key[op] as number, source[op] !== NIL)
    }
    if (read.size < 2) continue
    const keys = [...read.keys()].sort((a, b) => a - b)
    const seen = keys.map((key) => read.get(key) === true)
    const group = groups.get(keys.join())
    const entry = { t, seen, keys, count: seen.filter((s) => s).length }
    if (group === undefined) groups.set(keys.join(), [entry])
    else group.push(entry)
  }
  const forks: TransactionAnomaly[] = []
  for (const group of groups.values()) {
    group.sort((a, b) => a.count - b.count)
    for (let i = 1; i < group.length && forks.length < 16; i++) {
      const [a, b] = [group[i - 1] as (typeof group)[number], group[i] as (typeof group)[number]]
      const onlyA = a.seen.findIndex((s, k) => s && !b.seen[k])
      if (onlyA === -1) continue
      const onlyB = b.seen.findIndex((s, k) => s && !a.seen[k])
      const [p, q] = [h.showTransaction(a.t), h.showTransaction(b.t)]
      const [x, y] = [h.showKey(a.keys[onlyA] as number), h.showKey(b.keys[onlyB] as number)]
      forks.push({
        type: 'long-fork',
        transactions: [a.t, b.t],
        explanation: `${p} saw the write of ${x} and not that of ${y}; ${q} saw the write of ${y} and not that of ${x}. No single order of the two writes explains both.`,
      })
    }
  }
  return forks
}

/** A key that is written more than once, which a long-fork history must not have; undefined when there is none. */
export function keyWrittenTwice(h: TransactionHistory): string | undefined {
  const written = new Uint8Array(h.keys)
  for (let op = 0; op < h.kind.length; op++) {
    if (h.kind[op] !== WRITE) continue
    const key = h.key[op] as number
    if (written[key] === 1) return h.showKey(key)
    written[key] = 1
  }
  return undefined
}
