/** What operators do with sagas: look, and decide what a saga cannot decide itself. */
import { checkOptions, isAge, isCount } from '../core/options.ts'
import { listLeases } from '../lease/index.ts'
import { type Sql, sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { OwnTransaction } from '../store/transaction.ts'
import { readEntries } from './claim.ts'
import { type Entry, IN_HAND, type SagaState, scopeOfPartition } from './entry.ts'
import { type ErrorRecord, SagaNotFoundError, SagaStateError } from './errors.ts'
import { insertSagas } from './journal-statements.ts'
import { purgeEnded, removeSagas } from './retention.ts'
import { wake } from './signals.ts'
import { encodeValue } from './value.ts'

export interface SagaInfo {
  readonly id: string
  readonly name: string
  readonly state: SagaState
  readonly partition: string
  readonly startedAtMs: number
  readonly endedAtMs: number | null
  /** When it is looked at next; null when nobody needs to, or a runner has it in hand. */
  readonly wakeAtMs: number | null
  readonly inHand: boolean
  readonly cancelRequested: boolean
  readonly parentId: string | null
  /** The error it ended with or is stuck on, or what it waits for. */
  readonly reason: string | null
}

export interface SagaFilter {
  readonly ids?: readonly string[]
  readonly name?: string
  readonly state?: SagaState
  /** Started longer ago than this. */
  readonly olderThanMs?: number
}

export interface SagaDetails extends SagaInfo {
  readonly input: string | null
  readonly output: string | null
  readonly entries: readonly Entry[]
  readonly signals: readonly {
    readonly name: string
    readonly sentAtMs: number
    readonly received: boolean
  }[]
  /** Why it is where it is, in a sentence. */
  readonly why: string
  readonly nowMs: number
}

export interface SagaCounts {
  readonly byState: Readonly<Partial<Record<SagaState, number>>>
  readonly inFlight: number
  readonly stuck: number
  /** Age of the oldest saga that has not ended. */
  readonly oldestAgeMs: number
  /** From one entry of a saga to the next, over the last thousand steps: milliseconds. */
  readonly stepMs: { readonly p50: number; readonly p95: number } | undefined
}

export interface SagaOperations {
  list(filter?: SagaFilter, options?: { limit?: number }): Promise<SagaInfo[]>
  count(filter?: SagaFilter): Promise<number>
  show(id: string): Promise<SagaDetails>
  figures(): Promise<SagaCounts>
  /** A stuck saga tries again what it is stuck on, with its tries counted anew. */
  retry(id: string): Promise<void>
  /** A stuck saga goes on as if the step, undo or confirm it is stuck on were done; a step then has given `result`. */
  skipStep(id: string, options?: { result?: unknown }): Promise<void>
  /** A stuck saga goes back, even past its pivot. What was done after the pivot has no undo and stays. */
  forceUndo(id: string): Promise<void>
  /** Starts a new saga that has the journal of this one up to `from`, which it runs anew, and all that follows. */
  fork(id: string, options: { from: string; newId: string }): Promise<void>
  cancel(id: string): Promise<boolean>
  /** Removes sagas that have ended, with all that is stored of them. Gives their number. */
  purge(filter: SagaFilter): Promise<number>
}

/** @throws SagaNotFoundError, SagaStateError of each that changes something: then nothing was changed */
export function sagaOperations(store: Store): SagaOperations {
  const table = store.table('saga')

  async function lockStuck(
    tx: OwnTransaction,
    id: string,
  ): Promise<{ entries: readonly Entry[]; stuck: StuckAt }> {
    const [row] = await tx.query<{ state: SagaState }>(
      sql`select state from ${table} where id = ${id}${store.dialect.forUpdate()}`,
    )
    if (row === undefined) throw new SagaNotFoundError(id)
    if (row.state !== 'stuck') throw new SagaStateError(`saga "${id}" is ${row.state}, not stuck`)
    const entries = (await readEntries(tx, [id])).get(id) ?? []
    const last = entries.filter((entry) => entry.kind === 'stuck').at(-1)
    const data = JSON.parse(last?.data ?? '{}') as Omit<StuckAt, 'step'>
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
        sql`insert into ${store.table('saga_entry')} (saga_id, seq, kind, step, pos, hash, data, at_ms)
          values (${id}, ${seq}, ${entry.kind}, ${entry.step}, ${entry.pos}, ${entry.hash}, ${entry.data}, ${store.dialect.nowMs})`,
      )
    }
  }

  async function resume(tx: OwnTransaction, id: string, state: 'running' | 'undoing'): Promise<void> {
    await tx.execute(
      sql`update ${table} set state = ${state}, wake_at_ms = 0, held = 0, reason = null where id = ${id}`,
    )
  }

  const change = (work: (tx: OwnTransaction) => Promise<void>): Promise<void> =>
    store.transaction(work, { isolation: 'read-committed' })

  return {
    async list(filter = {}, { limit = 100 } = {}) {
      checkOptions('sagas.list', { limit }, ['limit'], [isCount('limit', limit, 1, 1_000_000)])
      const rows = await store.read<InfoRow>(
        sql`select ${INFO} from ${table} where ${where(store, filter)} order by started_at_ms, id limit ${limit}`,
      )
      return rows.map(toInfo)
    },
    async count(filter = {}) {
      const [row] = await store.read<{ n: unknown }>(
        sql`select count(*) as n from ${table} where ${where(store, filter)}`,
      )
      return Number(row?.n)
    },
    async show(id) {
      return store.transaction(
        async (tx) => {
          const [row] = await tx.query<
            InfoRow & { input: string | null; output: string | null; now_ms: unknown }
          >(
            sql`select ${INFO}, input, output, ${store.dialect.nowMs} as now_ms from ${table} where id = ${id}`,
          )
          if (row === undefined) throw new SagaNotFoundError(id)
          const entries = (await readEntries(tx, [id])).get(id) ?? []
          const received = new Set(entries.filter((e) => e.kind === 'signal').map((e) => e.hash))
          const signals = await tx.query<{ number: unknown; name: string; sent_at_ms: unknown }>(
            sql`select number, name, sent_at_ms from ${store.table('saga_signal')} where saga_id = ${id} order by number`,
          )
          const info = toInfo(row)
          const nowMs = Number(row.now_ms)
          return {
            ...info,
            input: row.input,
            output: row.output,
            entries,
            signals: signals.map((s) => ({
              name: s.name,
              sentAtMs: Number(s.sent_at_ms),
              received: received.has(String(s.number)),
            })),
            why: await whyOf(store, info, nowMs),
            nowMs,
          }
        },
        { readOnly: true },
      )
    },
    async figures() {
      const rows = await store.read<{ state: SagaState; n: unknown; oldest: unknown }>(
        sql`select state, count(*) as n, max(case when ended_at_ms is null then ${store.dialect.nowMs} - started_at_ms end) as oldest
          from ${table} group by state`,
      )
      const byState = Object.fromEntries(rows.map((row) => [row.state, Number(row.n)]))
      const latest = await store.read<{ ms: unknown }>(
        sql`select e.at_ms - coalesce((select p.at_ms from ${store.table('saga_entry')} as p where p.saga_id = e.saga_id and p.seq = e.seq - 1), s.started_at_ms) as ms
          from ${store.table('saga_entry')} as e join (select id, started_at_ms from ${table} order by started_at_ms desc limit 300) as s on s.id = e.saga_id
          where e.kind = 'step' limit 1000`,
      )
      const ms = latest.map((row) => Number(row.ms)).sort((a, b) => a - b)
      return {
        byState,
        inFlight: (byState.running ?? 0) + (byState.undoing ?? 0),
        stuck: byState.stuck ?? 0,
        oldestAgeMs: Math.max(0, ...rows.map((row) => Number(row.oldest ?? 0))),
        stepMs:
          ms.length === 0
            ? undefined
            : {
                p50: ms[Math.floor(ms.length / 2)] as number,
                p95: ms[Math.floor(ms.length * 0.95)] as number,
              },
      }
    },
    retry: (id) =>
      change(async (tx) => {
        const { entries } = await lockStuck(tx, id)
        await append(tx, id, entries, [{ kind: 'retried', step: '', pos: -1, hash: null, data: null }])
        await resume(tx, id, entries.some((e) => e.kind === 'undoing') ? 'undoing' : 'running')
      }),
    skipStep: (id, { result } = {}) =>
      change(async (tx) => {
        const { entries, stuck } = await lockStuck(tx, id)
        if (stuck.step === '')
          throw new SagaStateError(`saga "${id}" is stuck on no step; retry it, or force its undo`)
        const forward = stuck.phase === 'do' || stuck.phase === 'try'
        if (forward && stuck.pos === undefined)
          throw new SagaStateError(`step "${stuck.step}" cannot be skipped`)
        const data = encodeValue('the result of a skipped step', result)
        await append(tx, id, entries, [
          forward
            ? { kind: 'step', step: stuck.step, pos: stuck.pos as number, hash: stuck.hash ?? null, data }
            : { kind: 'skipped', step: stuck.step, pos: -1, hash: null, data: null },
          { kind: 'retried', step: '', pos: -1, hash: null, data: null },
        ])
        await resume(tx, id, entries.some((e) => e.kind === 'undoing') ? 'undoing' : 'running')
      }),
    forceUndo: (id) =>
      change(async (tx) => {
        const { entries, stuck } = await lockStuck(tx, id)
        if (entries.some((e) => e.kind === 'undoing'))
          throw new SagaStateError(`saga "${id}" goes back already`)
        const error: ErrorRecord = { name: 'Operator', message: 'an operator had it undone' }
        const unknown = stuck.phase === 'do' || stuck.phase === 'try' ? [stuck.step] : []
        const data = JSON.stringify({ cause: { kind: 'cancelled', error }, unknown })
        await append(tx, id, entries, [
          { kind: 'undoing', step: '', pos: -1, hash: null, data },
          { kind: 'retried', step: '', pos: -1, hash: null, data: null },
        ])
        await resume(tx, id, 'undoing')
      }),
    fork: (id, { from, newId }) =>
      change(async (tx) => {
        const [row] = await tx.query<Record<string, never>>(sql`select * from ${table} where id = ${id}`)
        if (row === undefined) throw new SagaNotFoundError(id)
        const entries = (await readEntries(tx, [id])).get(id) ?? []
        const first = entries.find((entry) => entry.step === from && entry.pos >= 0)
        if (first === undefined) throw new SagaStateError(`saga "${id}" has no step "${from}" in its journal`)
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
      }),
    async cancel(id) {
      return store.transaction(async (tx) => {
        const changed = await tx.execute(
          sql`update ${table} set cancel = 1 where id = ${id} and ended_at_ms is null`,
        )
        if (changed === 1) await wake(tx, id)
        return changed === 1
      })
    },
    async purge(filter) {
      if (filter.ids === undefined && filter.state === undefined) {
        return purgeEnded(store, {
          olderThanMs: filter.olderThanMs ?? 0,
          ...(filter.name !== undefined && { name: filter.name }),
        })
      }
      let removed = 0
      for (;;) {
        const count = await store.transaction(async (tx) => {
          const rows = await tx.query<{ id: string }>(
            sql`select id from ${table} where ended_at_ms is not null and ${where(store, filter)} limit 1000`,
          )
          await removeSagas(
            tx,
            rows.map((row) => row.id),
          )
          return rows.length
        })
        removed += count
        if (count < 1_000) return removed
      }
    },
  }
}

interface StuckAt {
  readonly step: string
  readonly phase?: string
  readonly pos?: number
  readonly hash?: string | null
}

interface InfoRow {
  readonly id: string
  readonly name: string
  readonly state: SagaState
  readonly partition: string
  readonly wake_at_ms: unknown
  readonly held: unknown
  readonly cancel: unknown
  readonly started_at_ms: unknown
  readonly ended_at_ms: unknown
  readonly parent_id: string | null
  readonly reason: string | null
}

const INFO = sql.raw(
  'id, name, state, partition, wake_at_ms, held, cancel, started_at_ms, ended_at_ms, parent_id, reason',
)

function toInfo(row: InfoRow): SagaInfo {
  const wakeAtMs = row.wake_at_ms === null ? null : Number(row.wake_at_ms)
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    partition: row.partition,
    startedAtMs: Number(row.started_at_ms),
    endedAtMs: row.ended_at_ms === null ? null : Number(row.ended_at_ms),
    wakeAtMs: wakeAtMs === null || wakeAtMs >= IN_HAND - 1 ? null : wakeAtMs,
    inHand: Number(row.held) === 1,
    cancelRequested: Number(row.cancel) === 1,
    parentId: row.parent_id,
    reason: readReason(row.reason),
  }
}

function readReason(text: string | null): string | null {
  if (text === null) return null
  try {
    return (JSON.parse(text) as ErrorRecord).message
  } catch {
    return text
  }
}

function where(store: Store, filter: SagaFilter): Sql {
  const { ids, name, state, olderThanMs } = filter
  checkOptions(
    'saga filter',
    filter,
    ['ids', 'name', 'state', 'olderThanMs'],
    [olderThanMs === undefined || isAge('olderThanMs', olderThanMs)],
  )
  return sql.join(
    [
      sql`1 = 1`,
      ...(ids === undefined ? [] : [store.dialect.isOneOf(sql.ident('id'), 'text', ids)]),
      ...(name === undefined ? [] : [sql`name = ${name}`]),
      ...(state === undefined ? [] : [sql`state = ${state}`]),
      ...(olderThanMs === undefined
        ? []
        : [sql`started_at_ms < ${store.dialect.nowMs} - ${Math.floor(olderThanMs)}`]),
    ],
    ' and ',
  )
}

/** Says why a saga is not further than it is. */
async function whyOf(store: Store, saga: SagaInfo, nowMs: number): Promise<string> {
  switch (saga.state) {
    case 'completed':
      return 'it has completed'
    case 'failed':
    case 'cancelled':
      return `it was given back: ${saga.reason ?? 'no reason is recorded'}`
    case 'stuck':
      return `it is stuck: ${saga.reason ?? 'no reason is recorded'}`
  }
  const scope = scopeOfPartition(saga.partition)
  const leases = await listLeases(store, { scope })
  const lease = leases.find((l) => l.name === saga.partition)
  if (lease?.running !== true)
    return `no runner holds its partition ${saga.partition}: is a runner of its group running?`
  if (saga.inHand) return `a runner has it in hand: ${lease.owner}`
  const what = saga.reason === null ? '' : `: ${saga.reason}`
  if (saga.wakeAtMs === null) return `it waits to be woken${what}`
  if (saga.wakeAtMs > nowMs) return `it waits until ${new Date(saga.wakeAtMs).toISOString()}${what}`
  return `it is due, and ${lease.owner} has not taken it up: does that runner know the saga "${saga.name}", and has it room?`
}
