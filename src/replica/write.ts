import { randomUUID } from 'node:crypto'
import { decodeStamp, emptyVector, type VersionVector } from '../causality/index.ts'
import { checkSchema, encodeJson } from '../core/index.ts'
import type { Outbox } from '../outbox/index.ts'
import type { Transaction } from '../store/transaction.ts'
import type { Collection } from './collection.ts'
import { describeConflict, logConflict } from './conflicts.ts'
import { decodeContext, encodeContext, standing } from './context.ts'
import { ReplicaBehindError, SiblingsError, StaleContextError } from './errors.ts'
import { readFloors } from './members.ts'
import { encodeMessage, topicOf } from './message.ts'
import { decodeValue, encodeValue, isMergeable } from './policy.ts'
import { hashOf, isDead, type RecordId, type RecordState, recordState, writeRecord } from './record.ts'
import { changeRecord } from './records.ts'
import type { ResolvedReplica } from './replica-options.ts'

export interface WriteOptions {
  /**
   * What the writer has seen of the record, as `get` or an earlier change gave it. Default: all that this store has,
   * under the record's row lock.
   */
  readonly context?: string | undefined
  /** Asks the members to say that they have merged it, so that `confirmed` hears of it at once. Default false. */
  readonly confirm?: boolean
  /** Overrides the collection's. */
  readonly onStale?: 'refuse' | 'sibling'
}

/** A write as it will be committed. */
export interface Change extends RecordId {
  readonly id: string
  readonly replica: string
  /** What its writer has now seen: hand it to the next read or write of the record, wherever that is. */
  readonly context: string
}

export interface Writer {
  readonly options: ResolvedReplica
  readonly outbox: Outbox
}

/**
 * What is to be written, given what is there, once that is locked. Undefined leaves the record; a value of undefined
 * deletes.
 */
export type Decide = (
  here: RecordState,
) => Promise<{ readonly value: unknown } | undefined> | { readonly value: unknown } | undefined

/** One write: the new state under the record's lock, the conflict it makes, and the message that tells the others. */
export async function write(
  { options, outbox }: Writer,
  tx: Transaction,
  { collection, record, given }: { collection: Collection; record: RecordId; given: WriteOptions },
  decide: Decide,
): Promise<Change | undefined> {
  const { id: replica } = options
  let after: RecordState | undefined
  let seen = emptyVector
  const before = await changeRecord(tx, record, async (found) => {
    after = undefined
    const here = found ?? recordState.empty
    const past = await pastOf(tx, { here, collection, record, given, replica })
    const decided = await decide(here)
    if (decided === undefined) return undefined
    const value =
      decided.value === undefined
        ? undefined
        : { json: await storable(options, collection, withHere(collection, here, decided.value)) }
    const countFloor = here.context.has(replica) ? 0 : ((await readFloors(tx)).get(replica) ?? 0)
    // What is merged with all that is here has seen it, whatever the caller had seen.
    seen = isMergeable(collection.merge) && value !== undefined ? here.context : past
    after = writeRecord(here, { replica, nowMs: tx.store.clock.now(), past: seen, value, countFloor })
    return after
  })
  if (after === undefined) return undefined
  await noteConflict(tx, collection, record, { before, after })
  const id = randomUUID()
  await outbox.publish(tx, {
    id,
    topic: topicOf(options.set),
    key: hashOf(record),
    payload: encodeMessage({
      kind: 'change',
      from: replica,
      at: ownStamp(after, replica),
      ...record,
      state: after,
      ack: given.confirm === true ? id : undefined,
    }),
  })
  return {
    id,
    replica,
    ...record,
    context: encodeContext(record, seenAfter(after, replica, { before, seen })),
  }
}

/**
 * What the writer has seen once it has written. A vector cannot say "this write, and not the one before it of the same
 * replica": where the writer had not seen that one, it keeps what it had, and must read to see its own write.
 */
function seenAfter(
  after: RecordState,
  replica: string,
  { before, seen }: { before: RecordState | undefined; seen: VersionVector },
): VersionVector {
  const here = before?.context ?? emptyVector
  if ((seen.get(replica) ?? 0) < (here.get(replica) ?? 0)) return seen
  return new Map(seen).set(replica, after.context.get(replica) as number)
}

/** Notes it when versions stand beside one another that did not before. */
export async function noteConflict(
  tx: Transaction,
  collection: Collection | undefined,
  record: RecordId,
  { before, after }: { before: RecordState | undefined; after: RecordState },
): Promise<void> {
  if (collection?.logConflicts !== true || after.alive.length < 2 || isDead(after)) return
  const dots = (state: RecordState): string =>
    JSON.stringify(state.alive.map((dot) => [dot.replica, dot.count]))
  if (before !== undefined && dots(before) === dots(after)) return
  await logConflict(tx, describeConflict(record, after, collection))
}

/** What the writer has seen, once it is known that this replica can act on it. */
async function pastOf(
  tx: Transaction,
  to: {
    here: RecordState
    collection: Collection
    record: RecordId
    given: WriteOptions
    replica: string
  },
): Promise<VersionVector> {
  const { here, collection, record, given, replica } = to
  if (given.context === undefined) return here.context
  const past = given.context === '' ? emptyVector : decodeContext(record, given.context)
  const stands = standing(past, here.context, await readFloors(tx))
  if (stands === 'ahead') throw new ReplicaBehindError(record, replica)
  if (stands === 'stale') {
    if ((given.onStale ?? collection.onStale) === 'refuse') throw new StaleContextError(record)
    if (here.alive.length >= collection.siblingsMax && !isMergeable(collection.merge)) {
      throw new SiblingsError(record, here.alive.length)
    }
  }
  return past
}

/** A state that merges is written merged with what is here, so that no write of it can undo another. */
function withHere({ merge }: Collection, here: RecordState, value: unknown): unknown {
  if (!isMergeable(merge)) return value
  return here.alive.reduce(
    (sum, { value: stored }) =>
      'deleted' in stored ? sum : merge.merge(decodeValue(merge, stored.value), sum),
    value,
  )
}

async function storable(options: ResolvedReplica, collection: Collection, value: unknown): Promise<unknown> {
  const subject = `value of "${collection.name}"`
  if (collection.schema !== undefined) await checkSchema(subject, collection.schema, value)
  return JSON.parse(encodeJson(subject, encodeValue(collection.merge, value), options.valueLimitBytes))
}

function ownStamp(state: RecordState, replica: string) {
  const own = state.alive.findLast((dot) => dot.replica === replica)
  if (own === undefined) throw new Error('a write left no version of its own')
  return decodeStamp(own.value.at)
}
