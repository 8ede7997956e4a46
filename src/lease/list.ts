import { checkArguments, checkOptions, isCount, isName, isObject } from '../core/options.ts'
import { isStore } from '../store/arguments.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import { readLeases } from './renew.ts'

/** A lease as the store has it. */
export interface LeaseInfo {
  readonly scope: string
  readonly name: string
  /** The owner, or of a lease that has ended: the last one. */
  readonly owner: string
  readonly epoch: bigint
  readonly running: boolean
  /** What is left of it by the store's clock; 0 when it has ended or was released. */
  readonly leftMs: number
}

/** The leases of one scope, or of all, ascending by scope and name; at most `limit`, 1 000 unless told. */
export async function listLeases(
  store: Store,
  options: { scope?: string; limit?: number; signal?: AbortSignal } = {},
): Promise<LeaseInfo[]> {
  checkArguments('listLeases', isStore(store), isObject('options', options))
  const { scope, limit = 1_000, signal } = options
  checkOptions(
    'listLeases',
    options,
    ['scope', 'limit', 'signal'],
    [scope === undefined || isName('scope', scope), isCount('limit', limit, 1, 1_000_000)],
  )
  const rows = await store.transaction(
    (tx) => readLeases(tx, scope === undefined ? sql`1 = 1` : sql`scope = ${scope}`, limit),
    { readOnly: true, isolation: 'read-committed', ...(signal && { signal }) },
  )
  return rows.map(({ scope, name, owner, epoch, left_ms }) => {
    const leftMs = Math.max(0, Number(left_ms))
    return { scope, name, owner, epoch: BigInt(epoch), running: leftMs > 0, leftMs }
  })
}
