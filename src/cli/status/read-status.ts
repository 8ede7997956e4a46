/** What is stored, whatever the application called it: the command line knows no outbox by name. Reads only. */
import { type GroupFigures, readGroupFigures } from '../../broker/store-queue/figures.ts'
import { type LeaseInfo, listLeases } from '../../lease/list.ts'
import { readInFlight, type SagasInFlight } from '../../saga/in-flight.ts'
import { type Sql, type Store, sql } from '../../store/index.ts'

export interface OutboxStatus {
  readonly name: string
  /** Messages that are ready and not yet with the broker. */
  readonly backlog: number
  /** Age of the oldest of them on the store's clock: the lag. */
  readonly oldestAgeMs: number
  /** Of the backlog: the broker refused them before. */
  readonly failing: number
  /** Delayed, or waiting beside the others for another attempt. */
  readonly later: number
}

export interface DeadLetterCount {
  /** `outbox/<name>` or `inbox/<group>`. */
  readonly source: string
  readonly topic: string
  readonly count: number
  readonly oldestAgeMs: number
}

export interface RetriedGroup {
  /** `inbox/<group>`. */
  readonly scope: string
  /** Messages whose handler was started more than once. */
  readonly messages: number
  readonly attemptsMax: number
}

export interface TwoPhaseStatus {
  /** The `name` given to createTwoPhase. */
  readonly log: string
  /** Decisions that some participant has not carried out, as far as recovery has seen. */
  readonly open: number
  readonly oldestAgeMs: number
}

export interface PreparedStatus {
  /** Prepared transactions of Holdfast in this database, of this role. */
  readonly count: number
  readonly oldestAgeMs: number
}

export interface Status {
  readonly outboxes: readonly OutboxStatus[]
  readonly queueGroups: readonly GroupFigures[]
  readonly retried: readonly RetriedGroup[]
  readonly leases: readonly LeaseInfo[]
  readonly deadLetters: readonly DeadLetterCount[]
  readonly twoPhase: readonly TwoPhaseStatus[]
  readonly prepared: PreparedStatus
  /** Undefined where there are no tables of sagas. */
  readonly sagas: SagasInFlight | undefined
}

/** @throws SchemaRevisionError when none of the tables is there */
export async function readStatus(store: Store): Promise<Status> {
  let missing: unknown
  let found = false
  /** The parts that an application does not use may have no tables. */
  const part = async <T>(read: () => Promise<T[]>): Promise<T[]> => {
    try {
      const rows = await read()
      found = true
      return rows
    } catch (error) {
      if ((error as { code?: string }).code !== 'SCHEMA_REVISION') throw error
      missing ??= error
      return []
    }
  }
  const status: Status = {
    outboxes: await part(() => readOutboxes(store)),
    queueGroups: await part(() => readGroupFigures(store)),
    retried: await part(() => readRetried(store)),
    leases: await part(() => listLeases(store)),
    deadLetters: await part(() => readDeadLetters(store)),
    twoPhase: await part(() => readTwoPhase(store)),
    prepared: await readPrepared(store),
    sagas: (await part(async () => [await readInFlight(store)]))[0],
  }
  if (!found) throw missing
  return status
}

async function readOutboxes(store: Store): Promise<OutboxStatus[]> {
  const ready = await read<{ name: string; backlog: unknown; oldest: unknown; failing: unknown }>(
    store,
    sql`select name, count(*) as backlog, max(${store.dialect.nowMs} - published_at_ms) as oldest, sum(case when attempts > 0 then 1 else 0 end) as failing from ${store.table('outbox')} group by name`,
  )
  const later = await read<{ name: string; later: unknown }>(
    store,
    sql`select name, count(*) as later from ${store.table('outbox_later')} group by name`,
  )
  const names = [...new Set([...ready, ...later].map((row) => row.name))].sort()
  return names.map((name) => {
    const row = ready.find((r) => r.name === name)
    return {
      name,
      backlog: Number(row?.backlog ?? 0),
      oldestAgeMs: Math.max(0, Number(row?.oldest ?? 0)),
      failing: Number(row?.failing ?? 0),
      later: Number(later.find((r) => r.name === name)?.later ?? 0),
    }
  })
}

async function readRetried(store: Store): Promise<RetriedGroup[]> {
  const rows = await read<{ scope: string; messages: unknown; attempts_max: unknown }>(
    store,
    sql`select scope, count(*) as messages, max(attempts) as attempts_max from ${store.table('inbox_attempt')} where attempts > 1 group by scope order by scope`,
  )
  return rows.map((row) => ({
    scope: row.scope,
    messages: Number(row.messages),
    attemptsMax: Number(row.attempts_max),
  }))
}

async function readDeadLetters(store: Store): Promise<DeadLetterCount[]> {
  const rows = await read<{ source: string; topic: string; letters: unknown; oldest: unknown }>(
    store,
    sql`select source, topic, count(*) as letters, max(${store.dialect.nowMs} - failed_at_ms) as oldest from ${store.table('dead_letter')} group by source, topic order by source, topic`,
  )
  return rows.map((row) => ({
    source: row.source,
    topic: row.topic,
    count: Number(row.letters),
    oldestAgeMs: Math.max(0, Number(row.oldest)),
  }))
}

async function readTwoPhase(store: Store): Promise<TwoPhaseStatus[]> {
  const rows = await read<{ log: string; open: unknown; oldest: unknown }>(
    store,
    sql`select l.name as log, count(d.id) as open, max(${store.dialect.nowMs} - d.decided_at_ms) as oldest
      from ${store.table('two_phase_log')} as l left join ${store.table('two_phase')} as d on d.log = l.id and d.finished_at_ms is null
      group by l.name order by l.name`,
  )
  return rows.map((row) => ({
    log: row.log,
    open: Number(row.open),
    oldestAgeMs: Math.max(0, Number(row.oldest ?? 0)),
  }))
}

async function readPrepared({ prepared }: Store): Promise<PreparedStatus> {
  const [oldest, ...others] = (await prepared?.list('holdfast:')) ?? []
  return oldest === undefined
    ? { count: 0, oldestAgeMs: 0 }
    : { count: 1 + others.length, oldestAgeMs: Math.round(oldest.ageMs) }
}

function read<Row extends object>(store: Store, statement: Sql): Promise<Row[]> {
  return store.transaction((tx) => tx.query<Row>(statement), { readOnly: true })
}
