import type { ReplicaId } from '../causality/index.ts'
import { throwIfAborted } from '../core/abort.ts'
import { checkOptions, isDurationOrZero, isText } from '../core/options.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import type { Collection } from './collection.ts'
import { decodeContext, encodeContext, standing } from './context.ts'
import { ReplicaBehindError } from './errors.ts'
import { readFloors } from './members.ts'
import { type Reading, readRecord } from './policy.ts'
import { type RecordId, type RecordState, recordState } from './record.ts'
import { loadRecord } from './records.ts'

export interface ReadOptions {
  /** What the reader has seen already, as an earlier read or change gave it, here or at another replica. */
  readonly atLeast?: string | undefined
  /** How long to wait for it. Default 0. */
  readonly waitMs?: number
  readonly signal?: AbortSignal
}

/** A record as this store has it. */
export interface Found<T = unknown> extends Reading<T> {
  /** What the reader has now seen: hand it to the write that follows. Also where the record does not exist. */
  readonly context: string
}

const POLL_MS = 10

export async function readHere(
  on: Store | Transaction,
  { id, record, collection }: { id: ReplicaId; record: RecordId; collection: Collection },
  given: ReadOptions,
): Promise<Found> {
  const { atLeast, waitMs = 0, signal } = given
  checkOptions(
    'replica.get',
    given,
    ['atLeast', 'waitMs', 'signal'],
    [atLeast === undefined || isText('atLeast', atLeast), isDurationOrZero('waitMs', waitMs)],
  )
  const { clock } = 'store' in on ? on.store : on
  const endMs = clock.monotonic() + waitMs
  for (;;) {
    throwIfAborted(signal)
    const state = (await loadRecord(on, record)) ?? recordState.empty
    if (atLeast === undefined || atLeast === '' || (await isHere(on, record, state, atLeast))) {
      return { ...readRecord(state, collection.merge), context: encodeContext(record, state.context) }
    }
    const leftMs = endMs - clock.monotonic()
    if (leftMs <= 0) throw new ReplicaBehindError(record, id)
    await clock.sleep(Math.min(POLL_MS, leftMs), signal)
  }
}

async function isHere(
  on: Store | Transaction,
  record: RecordId,
  state: RecordState,
  atLeast: string,
): Promise<boolean> {
  const past = decodeContext(record, atLeast)
  if (standing(past, state.context, new Map()) !== 'ahead') return true
  return standing(past, state.context, await readFloors(on)) !== 'ahead'
}
