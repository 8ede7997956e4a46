// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import { NIL, type TransactionHistory } from './history.ts'
import type { Reads } from './reads.ts'
import type { Versions } from './versions.ts'

/** The transactions that read a version, or with `NIL` the initial state, of an open key. */
export type ReadersOf = (write: number, key: number) => Int32Array

/** Whose reads saw each version, and the initial state, of the open keys. */
export function readersOfOpenKeys(h: TransactionHistory, reads: Reads, versions: Versions): ReadersOf {
  const { source, transactionOf } = reads
  const ops = source.length
  const isOpen = new Uint8Array(h.keys)
  for (const { key } of versions.open) isOpen[key] = 1
  // One row per write, and after those one per key for its initial state.
  const rowOf = (op: number): number => {
    const seen = source[op] as number
    const key = h.key[op] as number
    if (seen < NIL || isOpen[key] === 0) return -1
    return seen === NIL ? ops + key : seen
  }
  const end = new Int32Array(ops + h.keys + 1)
  for (let op = 0; op < ops; op++) {
    const row = rowOf(op)
    if (row >= 0) end[row]! += 1
  }
  let sum = 0
  for (let row = 0; row < end.length; row++) {
    const count = end[row] as number
    end[row] = sum
    sum += count
  }
  const start = end.slice()
  const readers = new Int32Array(sum)
  for (let op = 0; op < ops; op++) {
    const row = rowOf(op)
    if (row < 0) continue
    const t = transactionOf[op] as number
    const at = end[row] as number
    if (at > (start[row] as number) && readers[at - 1] === t) continue // a second read of it by the same transaction
    readers[at] = t
    end[row] = at + 1
  }
  return (write, key) => {
    const row = write === NIL ? ops + key : write
    return readers.subarray(start[row] as number, end[row] as number)
  }
}
