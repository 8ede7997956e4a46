import { ClockDriftError, decodeStamp, type Stamp } from '../causality/index.ts'
import { checkSchema } from '../core/index.ts'
import type { Transaction } from '../store/transaction.ts'
import type { Collection } from './collection.ts'
import { readFloors } from './members.ts'
import { decodeValue } from './policy.ts'
import { isDead, type RecordId, type RecordState, recordState } from './record.ts'
import { changeRecord } from './records.ts'
import type { ResolvedReplica } from './replica-options.ts'
import { noteConflict } from './write.ts'

export interface Incoming {
  readonly record: RecordId
  readonly state: RecordState
  /** A message that was written longer ago is not merged into a record that is not there: it may have been pruned. */
  readonly oldest?: { readonly at: Stamp; readonly ageMaxMs: number }
  /** Brought by a pull, which may meet what is pruned here: a deletion makes no record then. */
  readonly pulled?: boolean
}

export type Merged =
  | { readonly kind: 'merged' }
  /** Nothing that was not here already. */
  | { readonly kind: 'known' }
  /** Not merged: too old for a record that is not here. A pull brings what is true. */
  | { readonly kind: 'too-old' }

export interface MergeSettings {
  readonly options: ResolvedReplica
  /** Told when a member knows more of this replica's own writes than its store does. */
  readonly onForgotten: (record: RecordId) => void
}

/**
 * Merges what another store holds of a record.
 * @throws ClockDriftError for a version stamped too far ahead; PayloadError for one that does not fit the collection
 */
export async function mergeIncoming(
  settings: MergeSettings,
  tx: Transaction,
  incoming: Incoming,
): Promise<Merged> {
  const { record, state: theirs } = incoming
  const { options } = settings
  // Undeclared: a member with newer code has it. It is kept, and read once this one has it too.
  const collection = options.collections.get(record.collection)
  await checkVersions(tx, settings, collection, theirs)
  let kind: Merged['kind'] = 'known'
  let after: RecordState | undefined
  const before = await changeRecord(tx, record, async (ours) => {
    after = undefined
    kind = 'known'
    if (ours === undefined && incoming.pulled === true && isDead(theirs)) return undefined
    if (ours === undefined && isTooOld(tx, incoming)) {
      kind = 'too-old'
      return undefined
    }
    await checkMemory(settings, tx, record, { ours, theirs })
    const merged = recordState.merge(ours ?? recordState.empty, theirs)
    if (merged === ours) return undefined
    kind = 'merged'
    after = merged
    return merged
  })
  if (after !== undefined) await noteConflict(tx, collection, record, { before, after })
  return { kind }
}

function isTooOld(tx: Transaction, { oldest }: Incoming): boolean {
  return oldest !== undefined && tx.store.clock.now() - oldest.at.wallMs > oldest.ageMaxMs
}

/** Following a stamp from the far future would make every later write of the record look older than it. */
async function checkVersions(
  tx: Transaction,
  { options }: MergeSettings,
  collection: Collection | undefined,
  state: RecordState,
): Promise<void> {
  const nowMs = tx.store.clock.now()
  for (const { value } of state.alive) {
    const at = decodeStamp(value.at)
    const aheadMs = at.wallMs - nowMs
    if (aheadMs > options.driftMaxMs) throw new ClockDriftError(at, aheadMs, options.driftMaxMs)
    if (collection === undefined || 'deleted' in value) continue
    decodeValue(collection.merge, value.value)
    if (collection.schema !== undefined) {
      await checkSchema(`value of "${collection.name}"`, collection.schema, value.value)
    }
  }
}

/** A store that was restored from a backup has forgotten writes that others have, and may give their dots again. */
async function checkMemory(
  { options, onForgotten }: MergeSettings,
  tx: Transaction,
  record: RecordId,
  { ours, theirs }: { ours: RecordState | undefined; theirs: RecordState },
): Promise<void> {
  const claimed = theirs.context.get(options.id) ?? 0
  if (claimed <= (ours?.context.get(options.id) ?? 0)) return
  const floor = (await readFloors(tx)).get(options.id) ?? 0
  if (claimed > floor) onForgotten(record)
}
