/** What there is of sagas, for people: lists, one in full, figures, and why one is not further. Only reads. */
import { checkOptions, isAge, isCount, isText, optionsOf } from '../core/options.ts'
import { listLeases } from '../lease/index.ts'
import { type Sql, sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import { readEntries } from './claim.ts'
import { type Entry, IN_HAND, type SagaState, scopeOfPartition } from './entry.ts'
import { type ErrorRecord, SagaNotFoundError } from './errors.ts'
import { readStepMs, type StepMs } from './step-ms.ts'

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
  /** From one entry of a saga to the next, over the steps of those that ended last. */
  readonly stepMs: StepMs | undefined
}

export async function listSagas(
  store: Store,
  filter: SagaFilter = {},
  options: { limit?: number } = {},
): Promise<SagaInfo[]> {
  const { limit = 100 } = optionsOf('sagas.list', options)
  checkOptions('sagas.list', options, ['limit'], [isCount('limit', limit, 1, 1_000_000)])
  const rows = await store.read<InfoRow>(
    sql`select ${INFO} from ${store.table('saga')} where ${filterSql(store, filter)} order by started_at_ms, id limit ${limit}`,
  )
  return rows.map(toInfo)
}

export async function countSagas(store: Store, filter: SagaFilter = {}): Promise<number> {
  const [row] = await store.read<{ n: unknown }>(
    sql`select count(*) as n from ${store.table('saga')} where ${filterSql(store, filter)}`,
  )
  return Number(row?.n)
}

/** @throws SagaNotFoundError */
export async function showSaga(store: Store, id: string): Promise<SagaDetails> {
  return store.transaction(
    async (tx) => {
      const [row] = await tx.query<
        InfoRow & { input: string | null; output: string | null; now_ms: unknown }
      >(
        sql`select ${INFO}, input, output, ${store.dialect.nowMs} as now_ms from ${store.table('saga')} where id = ${id}`,
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
}

export async function readFigures(store: Store): Promise<SagaCounts> {
  const table = store.table('saga')
  const rows = await store.read<{ state: SagaState; n: unknown; oldest: unknown }>(
    sql`select state, count(*) as n, max(case when ended_at_ms is null then ${store.dialect.nowMs} - started_at_ms end) as oldest
        from ${table} group by state`,
  )
  const byState = Object.fromEntries(rows.map((row) => [row.state, Number(row.n)]))
  return {
    byState,
    inFlight: (byState.running ?? 0) + (byState.undoing ?? 0),
    stuck: byState.stuck ?? 0,
    oldestAgeMs: Math.max(0, ...rows.map((row) => Number(row.oldest ?? 0))),
    stepMs: await store.transaction(readStepMs, { readOnly: true }),
  }
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

/** The reason in a saga's row, in words. */
export function readReason(text: string | null): string | null {
  if (text === null) return null
  try {
    return (JSON.parse(text) as ErrorRecord).message
  } catch {
    return text
  }
}

/** @throws ConfigError */
export function checkFilter(filter: SagaFilter): void {
  const { ids, name, state, olderThanMs } = optionsOf('saga filter', filter)
  checkOptions(
    'saga filter',
    filter,
    ['ids', 'name', 'state', 'olderThanMs'],
    [
      ids === undefined ||
        (Array.isArray(ids) && ids.every((id) => typeof id === 'string')) ||
        'ids must be an array of strings',
      name === undefined || isText('name', name),
      state === undefined || isText('state', state),
      olderThanMs === undefined || isAge('olderThanMs', olderThanMs),
    ],
  )
}

export function filterSql(store: Store, filter: SagaFilter): Sql {
  checkFilter(filter)
  const { ids, name, state, olderThanMs } = filter
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
