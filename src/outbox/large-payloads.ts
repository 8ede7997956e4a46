import type { Store } from '../store/store.ts'
import { type ReadyRow, readPayloads } from './relay-statements.ts'

/** The most bytes of large payloads that one read fetches, unless the first alone has more. */
export const LARGE_BYTES_MAX = 8_388_608

export interface LargeCut {
  /** What fits, in the order of `rows`. A row that did not fit takes the later ones of its partition with it. */
  readonly rows: ReadyRow[]
  /** Partitions of which something was left out. */
  readonly cut: ReadonlySet<number>
}

/** Leaves out what would be too much to hold in memory. Pure. */
export function cutLarge(rows: readonly ReadyRow[], bytesMax: number): LargeCut {
  const taken: ReadyRow[] = []
  const cut = new Set<number>()
  let bytes = 0
  for (const row of rows) {
    if (cut.has(row.partition)) continue
    const large = largeBytes(row)
    if (large > 0 && bytes > 0 && bytes + large > bytesMax) {
      cut.add(row.partition)
      continue
    }
    bytes += large
    taken.push(row)
  }
  return { rows: taken, cut }
}

/** Fetches the payloads that the read has left out. Rows that are gone meanwhile are left out. */
export async function fetchLarge(store: Store, name: string, rows: readonly ReadyRow[]): Promise<ReadyRow[]> {
  const found = await store.read<{ sequence: unknown; payload: string }>(
    readPayloads(
      store,
      name,
      rows.filter((row) => row.payload === null),
    ),
  )
  const payloads = new Map(found.map((row) => [String(row.sequence), row.payload]))
  return rows.flatMap((row) => {
    if (row.payload !== null) return [row]
    const payload = payloads.get(String(row.sequence))
    return payload === undefined ? [] : [{ ...row, payload }]
  })
}

/** Bytes of a payload that counts as large, else 0. */
export function largeBytes(row: ReadyRow): number {
  return row.large_bytes === null ? 0 : Number(row.large_bytes)
}
