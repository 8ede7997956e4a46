/** The statements of the journal: many sagas' starts, entries and changes at once, each under its partition's epoch. */
import type { InsertColumn } from '../store/dialect.ts'
import { type Sql, sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import type { Change, Entry, NewSaga } from './entry.ts'
import { scopeOfPartition } from './entry.ts'

/** The partition and the epoch under which something is written; those of one batch belong to one group. */
export interface Guard {
  readonly partition: string
  readonly epoch: bigint
}

interface Append extends Guard {
  readonly sagaId: string
  readonly entry: Entry
}

interface RowChange extends Guard {
  readonly sagaId: string
  readonly name: string
  readonly change: Change
}

export interface Batch {
  readonly starts: readonly (Guard & { readonly saga: NewSaga })[]
  readonly appends: readonly Append[]
  readonly changes: readonly RowChange[]
}

export interface Written {
  /** True when the partition still has this epoch: what stood under it is written, and nothing else is. */
  holds(guard: Guard): boolean
  /** Of the batch's starts, those that did not exist before. */
  readonly started: ReadonlySet<string>
}

const GUARD: readonly InsertColumn[] = [
  { name: 'under', type: 'text' },
  { name: 'under_epoch', type: 'bigint' },
]

/** The types of the columns that are no text. */
const TYPES: Readonly<Record<string, InsertColumn['type']>> = {
  wake_at_ms: 'bigint',
  held: 'integer',
  priority: 'integer',
  started_at_ms: 'bigint',
  deadline_at_ms: 'bigint',
  ended_at_ms: 'bigint',
  seq: 'integer',
  pos: 'integer',
  at_ms: 'bigint',
}

function columns(names: string): readonly InsertColumn[] {
  return names.split(' ').map((name) => ({ name, type: TYPES[name] ?? 'text' }))
}

const START = columns(
  'id name partition state wake_at_ms held priority started_at_ms deadline_at_ms parent_id flow_key input_hash input',
)
const ENTRY = columns('saga_id seq kind step pos hash data at_ms')
const CHANGE = columns('id name partition state wake_at_ms held started_at_ms ended_at_ms output reason')

function startValues(saga: NewSaga): (string | number | null)[] {
  return [
    saga.id,
    saga.name,
    saga.partition,
    'running',
    saga.wakeAtMs,
    saga.held,
    saga.priority,
    saga.startedAtMs,
    saga.deadlineAtMs,
    saga.parentId,
    saga.flowKey,
    saga.inputHash,
    saga.input,
  ]
}

function entryValues({ sagaId, entry }: Append): (string | number | null)[] {
  return [sagaId, entry.seq, entry.kind, entry.step, entry.pos, entry.hash, entry.data, entry.atMs]
}

function changeValues({ sagaId, name, partition, change }: RowChange): (string | number | null)[] {
  const { state, wakeAtMs, held, endedAtMs, output, reason } = change
  return [sagaId, name, partition, state, wakeAtMs, held, 0, endedAtMs, output, reason]
}

/** Starts sagas that nobody holds yet, in any transaction. Gives the ids of those that did not exist. */
export async function insertSagas(tx: Transaction, sagas: readonly NewSaga[]): Promise<string[]> {
  const inserted = await tx.query<{ id: string }>(startStatement(tx.store, sagas))
  return inserted.map((row) => row.id)
}

export function startStatement({ dialect, table }: Store, sagas: readonly NewSaga[]): Sql {
  const names = START.map((c) => c.name)
  const rows = dialect.rowsAs('s', START, sagas.map(startValues))
  const selected = sql.join(names.map((name) => sql`s.${sql.ident(name)}`))
  return dialect.insertSelect(table('saga'), names, sql`select ${selected} from ${rows} where 1 = 1`, {
    onConflict: 'ignore',
    returning: ['id'],
  })
}

/**
 * Everything in one statement, which with nothing beside it is also one commit and one round trip.
 *
 * The leases are read FOR KEY SHARE: renewals pass, a take-over waits. Had a take-over come first, this waits for it and
 * then finds another epoch (PostgreSQL looks again at the newest version of a row it had to wait for), and since
 * everything is joined with the leases, nothing is written. So whoever takes over reads all that was ever written under
 * the former epoch, and nothing is added to it later.
 *
 * Entries are inserted where they are missing: a batch whose answer was lost is sent again as it is. A saga's row is
 * written by INSERT … ON CONFLICT, since that goes by the primary key however small the planner believes the table is.
 */
function batchStatement(store: Store, batch: Batch): Sql {
  const { dialect } = store
  const guards = distinctGuards(batch)
  const held = sql`select name, epoch from ${store.table('lease')} where scope = ${scopeOfPartition(guards[0] as string)}
    and ${dialect.isOneOf(sql.ident('name'), 'text', guards)}${dialect.forKeyShare}`
  const { starts, appends, changes } = batch
  const parts: Sql[] = [sql`held as (${held})`]
  if (starts.length > 0) parts.push(sql`started as (${insertStarts(store, starts, HELD)} returning id)`)
  if (appends.length > 0) parts.push(sql`appended as (${insertEntries(store, appends, HELD)})`)
  if (changes.length > 0) parts.push(sql`changed as (${upsertChanges(store, changes, HELD)})`)
  const ids = starts.length > 0 ? sql` union all select id, null from started` : sql``
  return sql`with ${sql.join(parts)} select name, epoch from held${ids}`
}

const HELD = sql.raw(' join held on held.name = g.under and held.epoch = g.under_epoch')
const NOBODY = sql.raw('')

function insertStarts(store: Store, starts: Batch['starts'], join: Sql): Sql {
  const rows = guardedRows(
    store,
    START,
    starts.map((s) => ({ guard: s, values: startValues(s.saga) })),
  )
  return sql`insert into ${store.table('saga')} (${namesOf(START)}) select ${columnsOf(START)} from ${rows}${join} where 1 = 1 on conflict (id) do nothing`
}

function insertEntries(store: Store, appends: readonly Append[], join: Sql): Sql {
  const rows = guardedRows(
    store,
    ENTRY,
    appends.map((a) => ({ guard: a, values: entryValues(a) })),
  )
  return sql`insert into ${store.table('saga_entry')} (${namesOf(ENTRY)}) select ${columnsOf(ENTRY)} from ${rows}${join} where 1 = 1 on conflict (saga_id, seq) do nothing`
}

/**
 * Somebody who signals or cancels sets `wake_at_ms` to 0, and that is kept: the runner is laying the saga down, or
 * taking it up, without having seen what came.
 */
function upsertChanges(store: Store, changes: readonly RowChange[], join: Sql): Sql {
  const rows = guardedRows(
    store,
    CHANGE,
    changes.map((c) => ({ guard: c, values: changeValues(c) })),
  )
  return sql`insert into ${store.table('saga')} as present (${namesOf(CHANGE)}) select ${columnsOf(CHANGE)} from ${rows}${join} where 1 = 1
    on conflict (id) do update set state = excluded.state, held = excluded.held, ended_at_ms = excluded.ended_at_ms,
    output = excluded.output, reason = excluded.reason,
    wake_at_ms = case when excluded.wake_at_ms is not null and present.wake_at_ms = 0 then 0 else excluded.wake_at_ms end`
}

function guardedRows(
  store: Store,
  columns: readonly InsertColumn[],
  rows: readonly { readonly guard: Guard; readonly values: readonly (string | number | null)[] }[],
): Sql {
  return store.dialect.rowsAs(
    'g',
    [...GUARD, ...columns],
    rows.map(({ guard, values }) => [guard.partition, guard.epoch, ...values]),
  )
}

const namesOf = (columns: readonly InsertColumn[]): Sql => sql.join(columns.map((c) => sql.ident(c.name)))
const columnsOf = (columns: readonly InsertColumn[]): Sql =>
  sql.join(columns.map((c) => sql`g.${sql.ident(c.name)}`))

function distinctGuards({ starts, appends, changes }: Batch): string[] {
  const names = new Set<string>()
  for (const list of [starts, appends, changes]) for (const { partition } of list) names.add(partition)
  return [...names]
}

interface HeldRow {
  readonly name: string
  readonly epoch: string | number | bigint | null
}

function toWritten(rows: readonly HeldRow[]): Written {
  const held = new Set<string>()
  const started = new Set<string>()
  for (const { name, epoch } of rows) {
    if (epoch === null) started.add(name)
    else held.add(`${name}@${epoch}`)
  }
  return { holds: ({ partition, epoch }) => held.has(`${partition}@${epoch}`), started }
}

/** Writes the batch as a transaction of its own. */
export async function commitBatch(store: Store, batch: Batch): Promise<Written> {
  if (store.dialect.writableCte)
    return toWritten(await store.autocommit<HeldRow>(batchStatement(store, batch), { urgent: true }))
  return store.transaction((tx) => writeBatch(tx, batch), { urgent: true })
}

/** Writes the batch in a transaction that is open. */
export async function writeBatch(tx: Transaction, batch: Batch): Promise<Written> {
  const { store } = tx
  const { dialect } = store
  if (dialect.writableCte) return toWritten(await tx.query<HeldRow>(batchStatement(store, batch)))
  const guards = distinctGuards(batch)
  const rows = await tx.query<HeldRow>(
    sql`select name, epoch from ${store.table('lease')} where scope = ${scopeOfPartition(guards[0] as string)}
      and ${dialect.isOneOf(sql.ident('name'), 'text', guards)}`,
  )
  const { holds } = toWritten(rows)
  const starts = batch.starts.filter(holds)
  const appends = batch.appends.filter(holds)
  const changes = batch.changes.filter(holds)
  const started = new Set<string>()
  if (starts.length > 0) {
    const inserted = await tx.query<{ id: string }>(sql`${insertStarts(store, starts, NOBODY)} returning id`)
    for (const { id } of inserted) started.add(id)
  }
  if (appends.length > 0) await tx.execute(insertEntries(store, appends, NOBODY))
  if (changes.length > 0) await tx.execute(upsertChanges(store, changes, NOBODY))
  return { holds, started }
}
