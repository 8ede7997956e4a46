import { SerializationError } from '../../store/errors.ts'
import { sql } from '../../store/sql.ts'
import type { Store } from '../../store/store.ts'
import type { OwnTransaction } from '../../store/transaction.ts'
import type { AttemptContext } from '../attempt.ts'
import type { Entry } from '../entry.ts'
import { batchOf, Pending, stale } from '../journal.ts'
import { writeBatch } from '../journal-statements.ts'
import type { SagaRun } from '../run.ts'
import { decodeValue, encodeValue } from '../value.ts'
import type { Attempted } from './perform.ts'
import type { Call } from './place.ts'

export interface TransactionAttempt {
  readonly call: Call
  readonly phase: 'do' | 'undo'
  readonly context: AttemptContext
}

/** Entries whose COMMIT got no answer, by their key: the next attempt writes the same one. */
const unanswered = new WeakMap<SagaRun, Map<string, Entry>>()

/**
 * A transaction on the journal's own store: the effect and the entry commit together, and with them whatever of this
 * saga was not durable yet.
 *
 * When the COMMIT of an earlier attempt got no answer, this one inserts the same entry first. It waits there for the
 * lost transaction if that is still open at the server, and finds the entry if it was committed: then nothing runs.
 */
export async function ownTransaction(
  run: SagaRun,
  store: Store,
  { call, phase, context }: TransactionAttempt,
  work: (tx: OwnTransaction) => Promise<unknown>,
): Promise<Attempted<unknown>> {
  const { journal, guard } = run.env
  const lost = unanswered.get(run) ?? new Map<string, Entry>()
  unanswered.set(run, lost)
  const former = lost.get(context.key)
  const done = phase === 'undo' ? lost.get(keyOf(run, call.step)) : undefined
  const waiting = await journal.take(run.id)
  const entryKind = phase === 'do' ? 'step' : 'undone'
  const pos = phase === 'do' ? call.pos : -1
  const place = former ?? run.entry(entryKind, call.step, pos, null)
  try {
    const result = await store.transaction(
      async (tx) => {
        if (former !== undefined) {
          const stored = await claimEntry(tx, run, former)
          if (stored !== undefined)
            return { value: decodeValue(stored.data), entry: { ...former, data: stored.data } }
        }
        // What is to be undone may have been committed: its entry decides, which nobody can write any more after this.
        const nothing = done !== undefined && (await claimEntry(tx, run, done)) === undefined
        if (nothing) await voidEntry(tx, run, done as Entry)
        const value = nothing ? undefined : await work(tx)
        const text = phase === 'do' ? encodeValue(`result of step "${call.step}"`, value) : null
        const entry: Entry = { ...place, data: text, atMs: run.env.nowMs() }
        const share = new Pending(run.id, run.row.name, guard)
        share.start = waiting?.start
        share.entries.push(...(waiting?.entries ?? []))
        share.change = waiting?.change
        run.claim(share)
        if (former === undefined) share.entries.push(entry)
        for (const beside of waiting?.beside ?? []) await beside(tx)
        const written = await writeBatch(tx, batchOf([share]))
        if (!written.holds(guard)) throw stale(share)
        if (former !== undefined) await fillEntry(tx, run, entry)
        return { value, entry }
      },
      { signal: context.signal },
    )
    lost.delete(context.key)
    waiting?.settle({ started: true })
    return { value: result.value, written: result.entry }
  } catch (error) {
    if ((error as { outcome?: string }).outcome === 'unknown') lost.set(context.key, place)
    if (waiting !== undefined) journal.putBack(waiting)
    throw error
  }
}

function keyOf(run: SagaRun, step: string): string {
  return `${run.id}/${step}`
}

/** True when the transaction of the step may have been committed without this process having been told. */
export function isCommitLost(run: SagaRun, step: string): boolean {
  return unanswered.get(run)?.has(keyOf(run, step)) === true
}

/** Undefined when this transaction is the first to write the entry; else what is stored of it. */
async function claimEntry(
  tx: OwnTransaction,
  run: SagaRun,
  entry: Entry,
): Promise<{ readonly data: string | null } | undefined> {
  const share = new Pending(run.id, run.row.name, run.env.guard)
  share.entries.push({ ...entry, data: UNFILLED })
  const written = await writeBatch(tx, batchOf([share]))
  if (!written.holds(run.env.guard)) throw stale(share)
  const [row] = await tx.query<{ data: string | null }>(
    sql`select data from ${tx.store.table('saga_entry')} where saga_id = ${run.id} and seq = ${entry.seq}`,
  )
  if (row === undefined) throw new SerializationError({ cause: new Error('the entry was removed') })
  return row.data === UNFILLED ? undefined : row
}

const UNFILLED = '!'

/** The place of a step that never was; an attempt answers no call. */
async function voidEntry(tx: OwnTransaction, run: SagaRun, entry: Entry): Promise<void> {
  await tx.execute(
    sql`update ${tx.store.table('saga_entry')} set kind = 'attempt', pos = -1, data = '{}' where saga_id = ${run.id} and seq = ${entry.seq}`,
  )
}

async function fillEntry(tx: OwnTransaction, run: SagaRun, entry: Entry): Promise<void> {
  await tx.execute(
    sql`update ${tx.store.table('saga_entry')} set data = ${entry.data} where saga_id = ${run.id} and seq = ${entry.seq}`,
  )
}
