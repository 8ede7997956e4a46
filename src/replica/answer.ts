import { encodeVector } from '../causality/index.ts'
import { ConfigError } from '../core/errors.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import { notePeer, readStoreNow } from './members.ts'
import { decodeQuestion, type Sums } from './peer-link.ts'
import { BUCKETS, type RecordId, recordState } from './record.ts'
import { decodeContextColumn, loadRecord } from './records.ts'
import type { ResolvedReplica } from './replica-options.ts'

/** Records in one page of vectors. */
const PAGE = 1_000
/** About the size after which an answer with states ends. */
const STATES_BYTES = 4_194_304

/**
 * Answers one question of a peer that pulls. JSON in, JSON out.
 * @throws PayloadError for what is no question; ConfigError for one of another set of replicas, or from a namesake
 */
export async function answerPeer(
  store: Store,
  { id, set }: Pick<ResolvedReplica, 'id' | 'set'>,
  json: unknown,
): Promise<object> {
  const question = decodeQuestion(json)
  if (question.set !== set || question.from === id) {
    throw new ConfigError('replica.answer', [
      `asked by "${question.from}" of set "${question.set}"; this is "${id}" of set "${set}"`,
    ])
  }
  switch (question.ask) {
    case 'sums': {
      await notePeer(store, { replica: question.from, instant: 'heard_at_ms' })
      return { replica: id, ...(await readSums(store)) }
    }
    case 'vectors':
      return readVectors(store, question)
    case 'states':
      return readStates(store, question.records)
    case 'pulled':
      await notePeer(store, { replica: question.from, instant: 'has_ours_at_ms', atMs: question.atMs })
      return {}
  }
}

/** The clock is read before the snapshot, so that all that was committed by `atMs` is in the sums. An index alone gives them. */
export async function readSums(store: Store): Promise<{ readonly atMs: number; readonly sums: Sums }> {
  const atMs = await readStoreNow(store)
  const rows = await store.read<{ bucket: unknown; count: unknown; sum: unknown }>(
    sql`select bucket, count(*) as count, cast(sum(digest) as varchar(40)) as sum from ${store.table('replica_record')} group by bucket`,
  )
  const sums = new Array<string>(BUCKETS).fill('0:0')
  for (const { bucket, count, sum } of rows) sums[Number(bucket)] = `${count}:${sum}`
  return { atMs, sums }
}

async function readVectors(
  store: Store,
  { bucket, after }: { readonly bucket: number; readonly after?: readonly [string, string] },
): Promise<object> {
  const from =
    after === undefined
      ? sql``
      : sql` and (collection > ${after[0]} or (collection = ${after[0]} and key > ${after[1]}))`
  const rows = await store.read<RecordId & { vector: string; dead: unknown }>(
    sql`select collection, key, vector, dead from ${store.table('replica_record')}
      where bucket = ${bucket}${from} order by collection, key limit ${PAGE}`,
  )
  return {
    records: rows.map(({ collection, key, vector, dead }) => [
      collection,
      key,
      encodeVector(decodeContextColumn(vector)),
      Number(dead),
    ]),
    more: rows.length === PAGE,
  }
}

async function readStates(store: Store, records: readonly (readonly [string, string])[]): Promise<object> {
  const states: unknown[] = []
  let bytes = 0
  let answered = 0
  for (const [collection, key] of records) {
    const state = await loadRecord(store, { collection, key })
    answered++
    if (state === undefined) continue
    const encoded = recordState.encode(state)
    states.push([collection, key, encoded])
    bytes += JSON.stringify(encoded).length
    if (bytes > STATES_BYTES) break
  }
  return { states, answered }
}
