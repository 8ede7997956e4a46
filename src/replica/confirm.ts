import type { ReplicaId } from '../causality/index.ts'
import { throwIfAborted } from '../core/abort.ts'
import { checkArguments, checkOptions, isCount, isDuration, isObject, show } from '../core/options.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import { NotConfirmedError } from './errors.ts'
import { readPeers, readStoreNow } from './members.ts'
import type { ResolvedReplica } from './replica-options.ts'
import type { Change } from './write.ts'

export interface ConfirmOptions {
  /** Members that must have it, this one included. */
  readonly writtenBy: number
  /** Default 5 000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** Notes that `replica` has merged and committed a change of this store. */
export async function noteAck(tx: Transaction, { change, replica }: { change: string; replica: ReplicaId }) {
  const { dialect } = tx.store
  await tx.execute(
    dialect.insertSelect(
      tx.store.table('replica_ack'),
      ['change_id', 'replica', 'at_ms'],
      sql`select ${change}, ${replica}, ${dialect.nowMs} where 1 = 1`,
      { onConflict: 'ignore' },
    ),
  )
}

/**
 * Waits until that many members are known to have the change: those that said so, and those that have pulled from here
 * since. Gives their names. Call it after the COMMIT.
 * @throws NotConfirmedError, outcome `unknown`
 */
export async function waitForMembers(
  store: Store,
  { id, members }: ResolvedReplica,
  change: Change,
  given: ConfirmOptions,
): Promise<readonly ReplicaId[]> {
  checkArguments(
    'replica.confirmed',
    typeof change?.id === 'string' || `change must be what a write gave, got ${show(change)}`,
    isObject('options', given),
  )
  const { writtenBy, timeoutMs = 5_000, signal } = given
  checkOptions(
    'replica.confirmed',
    given,
    ['writtenBy', 'timeoutMs', 'signal'],
    [isCount('writtenBy', writtenBy, 1, members.length), isDuration('timeoutMs', timeoutMs)],
  )
  throwIfAborted(signal)
  const { clock } = store
  const endMs = clock.monotonic() + timeoutMs
  const committedBeforeMs = await readStoreNow(store)
  for (let pauseMs = POLL_MIN_MS; ; pauseMs = Math.min(pauseMs * 1.5, POLL_MAX_MS)) {
    const known = await membersWith(store, change, committedBeforeMs)
    const having = members.filter((member) => member === id || known.has(member))
    if (having.length >= writtenBy) return having
    const leftMs = endMs - clock.monotonic()
    if (leftMs <= 0) throw new NotConfirmedError(having, writtenBy, timeoutMs)
    try {
      await clock.sleep(Math.min(pauseMs, leftMs), signal)
    } catch (cause) {
      throw new NotConfirmedError(having, writtenBy, timeoutMs - leftMs, { cause })
    }
  }
}

const POLL_MIN_MS = 4
const POLL_MAX_MS = 100

async function membersWith(store: Store, change: Change, sinceMs: number): Promise<ReadonlySet<ReplicaId>> {
  const acks = await store.read<{ replica: string }>(
    sql`select replica from ${store.table('replica_ack')} where change_id = ${change.id}`,
  )
  const pulled = (await readPeers(store)).filter(({ hasOursAtMs }) => (hasOursAtMs ?? 0) > sinceMs)
  return new Set([...acks, ...pulled].map(({ replica }) => replica))
}
