/** What an operator decides where a saga cannot: each is one transaction. */
import { checkOptions, isName, isText, optionsOf } from '../core/options.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { OwnTransaction } from '../store/transaction.ts'
import { readEntries } from './claim.ts'
import { type Entry, type EntryKind, ID_MAX, type SagaState } from './entry.ts'
import { type ErrorRecord, SagaNotFoundError, SagaStateError } from './errors.ts'
import type { StuckData } from './history.ts'
import { insertSagas } from './journal-statements.ts'
import { encodeValue } from './value.ts'

/** A stuck saga tries again what it is stuck on, with its tries counted anew. */
export function retry(store: Store, id: string): Promise<void> {
  return change(store, async (tx) => {
    const { entries } = await lockStuck(tx, id)
    await append(tx, id, entries, [{ kind: 'retried', step: '', pos: -1, hash: null, data: null }])
    await resume(tx, id, entries.some((e) => e.kind === 'undoing') ? 'undoing' : 'running')
  })
}

export function skipStep(store: Store, id: string, options: { result?: unknown } = {}): Promise<void> {
  const { result } = optionsOf('sagas.skipStep', options)
  checkOptions('sagas.skipStep', options, ['result'], [])
  return change(store, async (tx) => {
    const { entries, stuck } = await lockStuck(tx, id)
    if (stuck.step === '')
      throw new SagaStateError(`saga "${id}" is stuck on no step; retry it, or force its undo`)
    const forward = stuck.phase === 'do' || stuck.phase === 'try'
    if (forward && stuck.pos === undefined) throw new SagaStateError(`step "${stuck.step}" cannot be skipped`)
    const data = encodeValue('the result of a skipped step', result)
    await append(tx, id, entries, [
      forward
        ? { kind: 'step', step: stuck.step, pos: stuck.pos as number, hash: stuck.hash ?? null, data }
        : { kind: 'skipped', step: stuck.step, pos: -1, hash: null, data: null },
      { kind: 'retried', step: '', pos: -1, hash: null, data: null },
    ])
    await resume(tx, id, entries.some((e) => e.kind === 'undoing') ? 'undoing' : 'running')
  })
}

export function forceUndo(store: Store, id: string): Promise<void> {
  return change(store, async (tx) => {
    const { entries, stuck } = await lockStuck(tx, id)
    if (entries.some((e) => e.kind === 'undoing')) throw new SagaStateError(`saga "${id}" goes back already`)
    const error: ErrorRecord = { name: 'Operator', message: 'an operator had it undone' }
    const unknown = stuck.phase === 'do' || stuck.phase === 'try' ? [stuck.step] : []
    const data = JSON.stringify({ cause: { kind: 'cancelled', error }, unknown })
    await append(tx, id, entries, [
      { kind: 'undoing', step: '', pos: -1, hash: null, data },
      { kind: 'retried', step: '', pos: -1, hash: null, data: null },
    ])
    await resume(tx, id, 'undoing')
  })
}

export function fork(store: Store, id: string, options: { from: string; newId: string }): Promise<void> {
  const { from, newId } = optionsOf('sagas.fork', options)
  checkOptions(
    'sagas.fork',
    options,
    ['from', 'newId'],
    [isText('from', from), isName('newId', newId, ID_MAX)],
  )
  return change(store, async (tx) => {
    const [row] = await tx.query<Record<string, never>>(
      sql`select * from ${store.table('saga')} where id = ${id}`,
    )
    if (row === undefined) throw new SagaNotFoundError(id)
    const entries = (await readEntries(tx, [id])).get(id) ?? []
    // A step that never ended has only its tries in the journal.
    const first =
      entries.find((entry) => entry.step === from && entry.pos >= 0) ??
      entries.find((entry) => entry.step === from && TRIED.includes(entry.kind))
    if (first === undefined) throw noStep(id, from, entries)
    const [inserted] = await insertSagas(tx, [
      {
        id: newId,
        name: row.name as unknown as string,
        partition: row.partition as unknown as string,
        wakeAtMs: 1,
        held: 0,
        priority: Number(row.priority),
        startedAtMs: Number(row.started_at_ms),
        deadlineAtMs: null,
        parentId: null,
        flowKey: row.flow_key as unknown as string | null,
        inputHash: row.input_hash as unknown as string | null,
        input: row.input as unknown as string | null,
      },
    ])
    if (inserted === undefined) throw new SagaStateError(`there is a saga "${newId}" already`)
    const kept = entries.filter(
      (entry) =>
        entry.seq < first.seq && (entry.pos >= 0 || entry.kind === 'pivot' || entry.kind === 'confirmed'),
    )
    await append(tx, newId, [], kept)
  })
}

const TRIED: readonly EntryKind[] = ['attempt', 'stuck']

const change = (store: Store, work: (tx: OwnTransaction) => Promise<void>): Promise<void> =>
  store.transaction(work, { isolation: 'read-committed' })

async function lockStuck(
  tx: OwnTransaction,
  id: string,
): Promise<{ entries: readonly Entry[]; stuck: StuckAt }> {
  const [row] = await tx.query<{ state: SagaState }>(
    sql`select state from ${tx.store.table('saga')} where id = ${id}${tx.store.dialect.forUpdate()}`,
  )
  if (row === undefined) throw new SagaNotFoundError(id)
  if (row.state !== 'stuck') throw new SagaStateError(`saga "${id}" is ${row.state}, not stuck`)
  const entries = (await readEntries(tx, [id])).get(id) ?? []
  const last = entries.filter((entry) => entry.kind === 'stuck').at(-1)
  const data = JSON.parse(last?.data ?? '{}') as Partial<StuckData>
  return { entries, stuck: { ...data, step: last?.step ?? '' } }
}

async function append(
  tx: OwnTransaction,
  id: string,
  entries: readonly Entry[],
  more: readonly Omit<Entry, 'seq' | 'atMs'>[],
) {
  let seq = Math.max(0, ...entries.map((entry) => entry.seq))
  for (const entry of more) {
    seq += 1
    await tx.execute(
      sql`insert into ${tx.store.table('saga_entry')} (saga_id, seq, kind, step, pos, hash, data, at_ms)
          values (${id}, ${seq}, ${entry.kind}, ${entry.step}, ${entry.pos}, ${entry.hash}, ${entry.data}, ${tx.store.dialect.nowMs})`,
    )
  }
}

async function resume(tx: OwnTransaction, id: string, state: 'running' | 'undoing'): Promise<void> {
  await tx.execute(
    sql`update ${tx.store.table('saga')} set state = ${state}, wake_at_ms = 0, held = 0, reason = null where id = ${id}`,
  )
}

type StuckAt = Partial<StuckData> & { readonly step: string }

function noStep(id: string, step: string, entries: readonly Entry[]): SagaStateError {
  const named = entries.filter((entry) => entry.pos >= 0 || TRIED.includes(entry.kind))
  const steps = [...new Set(named.map((entry) => `"${entry.step}"`))]
  return new SagaStateError(
    `saga "${id}" has no step "${step}" in its journal, which has ${steps.join(', ') || 'none yet'}`,
  )
}
