/** Taking up sagas: the statements, one per function. */
import type { HeldLease } from '../lease/index.ts'
import { type Sql, sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { OwnTransaction, TransactionBase } from '../store/transaction.ts'
import {
  type Entry,
  type EntryKind,
  IN_HAND,
  type SagaRow,
  type SagaState,
  scopeOfPartition,
} from './entry.ts'
import { admit } from './flow.ts'
import type { Saga } from './saga.ts'
import { readSignals, type Signal } from './signals.ts'
import { isSuspect, SUSPECT_WAIT_MS, takeOneSuspect } from './suspects.ts'

export interface Claimed {
  readonly row: SagaRow
  readonly entries: readonly Entry[]
  readonly signals: readonly Signal[]
  /** It may be what killed the process that ran it. */
  readonly suspect?: boolean
}

export interface ClaimRequest {
  readonly held: readonly HeldLease[]
  /** The sagas that this runner knows, by name. */
  readonly known: ReadonlyMap<string, Saga<never, unknown>>
  readonly limit: number
  /** Whether one that may kill the process can be taken. */
  readonly suspectMayRun: boolean
  /** `leave`: its row is about to be written, so it is not touched. `poke`: it is in memory and only wants news. */
  whatOf(id: string): 'take' | 'poke' | 'leave'
}

export interface ClaimAnswer {
  readonly taken: readonly Claimed[]
  /** Of sagas in memory: what was sent to them, and whether they are to be cancelled. */
  readonly news: readonly {
    readonly id: string
    readonly cancel: boolean
    readonly signals: readonly Signal[]
  }[]
}

/** True when something in these partitions is due. One read, beside any writer. */
export async function isAnythingDue(
  store: Store,
  partitions: readonly string[],
  names: readonly string[],
): Promise<{ readonly due: boolean; readonly nowMs: number }> {
  const { dialect } = store
  const due = sql`select 1 from ${store.table('saga')} where ${inPartitions(store, partitions)}
    and wake_at_ms <= ${dialect.nowMs} and ${dialect.isOneOf(sql.ident('name'), 'text', names)} limit 1`
  const [row] = await store.read<{ now_ms: unknown; due: unknown }>(
    sql`select ${dialect.nowMs} as now_ms, (${due}) as due`,
  )
  return { due: row?.due !== null && row?.due !== undefined, nowMs: Number(row?.now_ms) }
}

/**
 * Takes what is due in these partitions, the most urgent first, and reads its history.
 *
 * The leases are read FOR KEY SHARE first, so that nothing is taken in a partition that has changed hands. Rows that
 * somebody else has locked (a signal that is being sent) are left for the next time instead of being waited for. The
 * signals are read after the row is taken: who sends one later wakes the saga again.
 */
export async function claim(store: Store, request: ClaimRequest): Promise<ClaimAnswer> {
  return store.transaction(
    async (tx) => {
      const partitions = await heldPartitions(tx, request.held)
      if (partitions.length === 0) return { taken: [], news: [] }
      const due = await lockDue(tx, partitions, [...request.known.keys()], request.limit)
      const what = new Map(due.map((row) => [row.id, request.whatOf(row.id)]))
      const fresh = due.filter((row) => what.get(row.id) === 'take')
      const admitted = await admit(tx, fresh, request.known)
      const candidates = fresh.filter((row) => admitted.has(row.id))
      const history = await readEntries(
        tx,
        candidates.map((row) => row.id),
      )
      const { taken, putOff } = takeOneSuspect(
        candidates.map((row) => {
          const entries = history.get(row.id) ?? []
          return { row, entries, suspect: isSuspect(Number(row.held) === 1, entries) }
        }),
        request.suspectMayRun,
      )
      for (const { row } of putOff) await putOffFor(tx, row.id, SUSPECT_WAIT_MS)
      const poked = due.filter((row) => what.get(row.id) === 'poke')
      const ids = [...taken.map(({ row }) => row.id), ...poked.map((row) => row.id)]
      if (ids.length === 0) return { taken: [], news: [] }
      await markHeld(tx, ids)
      const signals = await readSignals(tx, ids)
      return {
        taken: taken.map(({ row, entries, suspect }) => ({
          row: toSagaRow(row),
          entries,
          suspect,
          signals: signals.get(row.id) ?? [],
        })),
        news: poked.map((row) => ({
          id: row.id,
          cancel: Number(row.cancel) === 1,
          signals: signals.get(row.id) ?? [],
        })),
      }
    },
    { isolation: 'read-committed', urgent: true },
  )
}

/** What is in hand in these partitions becomes due at once. Its rows stay `held`, which tells of a former holder. */
export function releaseInHand(store: Store, partitions: readonly string[]): Promise<number> {
  return store.execute(
    sql`update ${store.table('saga')} set wake_at_ms = 0 where ${inPartitions(store, partitions)} and wake_at_ms = ${IN_HAND}`,
  )
}

async function heldPartitions(tx: OwnTransaction, held: readonly HeldLease[]): Promise<string[]> {
  const { store } = tx
  const [first] = held
  if (first === undefined) return []
  const names = held.map((lease) => lease.name)
  const rows = await tx.query<{ name: string; epoch: string | number | bigint }>(
    sql`select name, epoch from ${store.table('lease')} where scope = ${scopeOfPartition(first.name)}
      and ${store.dialect.isOneOf(sql.ident('name'), 'text', names)}${store.dialect.forKeyShare}`,
  )
  const epochs = new Map(rows.map((row) => [row.name, BigInt(row.epoch)]))
  return held.filter((lease) => epochs.get(lease.name) === lease.epoch).map((lease) => lease.name)
}

export interface DueRow {
  readonly id: string
  readonly name: string
  readonly partition: string
  readonly state: SagaState
  readonly held: number | string
  readonly cancel: number | string
  readonly admitted: number | string
  readonly priority: number | string
  readonly started_at_ms: number | string
  readonly deadline_at_ms: number | string | null
  readonly parent_id: string | null
  readonly flow_key: string | null
  readonly input: string | null
}

function lockDue(
  tx: OwnTransaction,
  partitions: readonly string[],
  names: readonly string[],
  limit: number,
): Promise<DueRow[]> {
  const { store } = tx
  const { dialect } = store
  return tx.query<DueRow>(
    sql`select id, name, partition, state, held, cancel, admitted, priority, started_at_ms, deadline_at_ms, parent_id, flow_key, input
      from ${store.table('saga')} where ${inPartitions(store, partitions)} and wake_at_ms <= ${dialect.nowMs}
      and ${dialect.isOneOf(sql.ident('name'), 'text', names)}
      order by wake_at_ms limit ${limit}${dialect.forUpdate({ skipLocked: dialect.skipLocked })}`,
  )
}

async function markHeld(tx: OwnTransaction, ids: readonly string[]): Promise<void> {
  const { store } = tx
  await tx.execute(
    sql`update ${store.table('saga')} set held = 1, wake_at_ms = ${IN_HAND}, admitted = 1
      where ${store.dialect.isOneOf(sql.ident('id'), 'text', ids)}`,
  )
}

async function putOffFor(tx: OwnTransaction, id: string, ms: number): Promise<void> {
  const { dialect } = tx.store
  await tx.execute(
    sql`update ${tx.store.table('saga')} set wake_at_ms = ${dialect.nowMs} + ${ms} where id = ${id}`,
  )
}

interface EntryRow {
  readonly saga_id: string
  readonly seq: number | string
  readonly kind: EntryKind
  readonly step: string
  readonly pos: number | string
  readonly hash: string | null
  readonly data: string | null
  readonly at_ms: number | string
}

/** The journals of these sagas, each in its order. */
export async function readEntries(
  tx: Pick<TransactionBase, 'store' | 'query'>,
  ids: readonly string[],
): Promise<Map<string, Entry[]>> {
  const { store } = tx
  if (ids.length === 0) return new Map()
  const rows = await tx.query<EntryRow>(
    sql`select saga_id, seq, kind, step, pos, hash, data, at_ms from ${store.table('saga_entry')}
      where ${store.dialect.isOneOf(sql.ident('saga_id'), 'text', ids)} order by saga_id, seq`,
  )
  const bySaga = new Map<string, Entry[]>()
  for (const row of rows) {
    const list = bySaga.get(row.saga_id) ?? []
    bySaga.set(row.saga_id, list)
    list.push({
      seq: Number(row.seq),
      kind: row.kind,
      step: row.step,
      pos: Number(row.pos),
      hash: row.hash,
      data: row.data,
      atMs: Number(row.at_ms),
    })
  }
  return bySaga
}

export function toSagaRow(row: DueRow): SagaRow {
  return {
    id: row.id,
    name: row.name,
    partition: row.partition,
    state: row.state,
    cancel: Number(row.cancel) === 1,
    interrupted: Number(row.held) === 1,
    priority: Number(row.priority),
    startedAtMs: Number(row.started_at_ms),
    deadlineAtMs: row.deadline_at_ms === null ? null : Number(row.deadline_at_ms),
    parentId: row.parent_id,
    flowKey: row.flow_key,
    input: row.input,
  }
}

function inPartitions(store: Store, partitions: readonly string[]): Sql {
  return store.dialect.isOneOf(sql.ident('partition'), 'text', partitions)
}
