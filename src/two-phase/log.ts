import { checkOptions, isBoolean, isCount, optionsOf } from '../core/options.ts'
import { type Sql, type Store, sql, type Transaction } from '../store/index.ts'
import { newLogId } from './gid.ts'

export type Decision = 'commit' | 'abort'

export interface DecisionRow {
  readonly id: string
  readonly decision: Decision
  /** The participants that have a share in it, as far as the one who decided knew. */
  readonly participants: readonly string[]
  readonly decidedBy: string
  readonly decidedAtMs: number
  /** When every participant was known to have carried it out; undefined before. */
  readonly finishedAtMs: number | undefined
  readonly ageMs: number
}

export interface NewDecision {
  readonly id: string
  readonly log: string
  readonly participants: readonly string[]
  readonly decidedBy: string
}

/** The identity of the log of that name, without making one. */
export async function findLogId(store: Store, name: string): Promise<string | undefined> {
  const [row] = await store.query<{ id: string }>(
    sql`select id from ${store.table('two_phase_log')} where name = ${name}`,
  )
  return row?.id
}

/** The identity of the log of that name in this database, made when it is first asked for; the same for all processes. */
export async function readLogId(store: Store, name: string): Promise<{ id: string; nowMs: number }> {
  return store.transaction(async (tx) => {
    const find = () =>
      tx.query<{ id: string; now_ms: string | number }>(
        sql`select id, ${store.dialect.nowMs} as now_ms from ${store.table('two_phase_log')} where name = ${name}`,
      )
    let [row] = await find()
    if (row === undefined) {
      await tx.execute(
        sql`insert into ${store.table('two_phase_log')} (name, id) values (${name}, ${newLogId()}) on conflict (name) do nothing`,
      )
      row = (await find())[0]
    }
    return { id: row?.id as string, nowMs: Number(row?.now_ms) }
  })
}

const COLUMNS = ['id', 'log', 'decision', 'participants', 'decided_by', 'decided_at_ms']

/** The transaction is made durable by itself, whatever its connection is set to, since others act on the decision at once. */
function decisionRow(store: Store, decision: Decision, row: NewDecision, atMs: Sql): Sql {
  const { id, log, participants, decidedBy } = row
  return sql`select ${id}, ${log}, ${decision}, ${JSON.stringify(participants)}, ${decidedBy}, ${atMs}
    from (select ${store.dialect.insistOnDurability} as durable) as setting where coalesce(setting.durable, 'on') <> ''`
}

/** A decision to commit, and the time by the log's clock after which it must not be made. */
export interface Commit extends NewDecision {
  readonly notAfterMs: number
}

/**
 * The decision to commit, as the last statement of its transaction or a transaction by itself. COMMIT does not wait for its
 * answer, so it does not ask but fails where it must not stand. An abort under the same key is a violation of the primary
 * key. Too late is a division by zero, which PostgreSQL refuses, and SQLite answers with a null that the column refuses.
 *
 * Commit and abort compete for the key: an insert waits for one that is not committed yet, so there is no moment in which
 * both succeed.
 */
export function commitDecision(store: Store, commit: Commit): Sql {
  const { dialect, table } = store
  const inTime = sql`case when ${dialect.nowMs} <= ${Math.floor(commit.notAfterMs)} then 1 else 0 end`
  const atMs = sql`${dialect.nowMs} / (${inTime})`
  return dialect.insertSelect(table('two_phase'), COLUMNS, decisionRow(store, 'commit', commit, atMs))
}

/** True for the error by which `commitDecision` says that it is too late. */
export function saysTooLate(error: unknown): boolean {
  const { code, sqlState, kind } = error as { code?: string; sqlState?: string; kind?: string }
  return (
    (code === 'STATEMENT_FAILED' && sqlState === '22012') ||
    (code === 'CONSTRAINT_VIOLATED' && kind === 'not-null')
  )
}

export async function readDecision(tx: Transaction, id: string): Promise<Decision | undefined> {
  const [row] = await tx.query<{ decision: Decision }>(
    sql`select decision from ${tx.store.table('two_phase')} where id = ${id}`,
  )
  return row?.decision
}

/**
 * Decides to abort unless a decision stands, and gives what stands. Waits for a decision that is being committed.
 * `first` is true when this call made the decision.
 */
export async function decideAbort(
  store: Store,
  row: NewDecision,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<{ decision: Decision; first: boolean }> {
  const { timeoutMs, signal } = options
  return store.transaction(
    async (tx) => {
      const { dialect, table } = store
      const select = decisionRow(store, 'abort', row, dialect.nowMs)
      const inserted = await tx.execute(
        dialect.insertSelect(table('two_phase'), COLUMNS, select, { onConflict: 'ignore' }),
      )
      if (inserted === 1) return { decision: 'abort', first: true }
      // Removed between the two statements: only its own coordinator does that, after it committed.
      return { decision: (await readDecision(tx, row.id)) ?? 'commit', first: false }
    },
    // At stricter levels a snapshot taken before the wait would not show the row that was waited for.
    { isolation: 'read-committed', timeoutMs, urgent: true, ...(signal && { signal }) },
  )
}

/** Bounds of one request to the log. */
export interface Limits {
  readonly timeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

export interface DecisionFilter {
  readonly ids?: readonly string[]
  /** Also those that every participant has carried out. Default false. */
  readonly finished?: boolean
  readonly limit?: number
}

/** @throws ConfigError */
export function checkDecisionFilter(filter: DecisionFilter): void {
  const { ids, finished, limit } = optionsOf('twoPhase.decisions', filter)
  checkOptions(
    'twoPhase.decisions',
    filter,
    ['ids', 'finished', 'limit'],
    [
      ids === undefined ||
        (Array.isArray(ids) && ids.every((id) => typeof id === 'string')) ||
        'ids must be an array of strings',
      finished === undefined || isBoolean('finished', finished),
      limit === undefined || isCount('limit', limit, 1, 1_000_000),
    ],
  )
}

export async function listDecisions(
  store: Store,
  log: string,
  { ids, finished = false, limit = 10_000 }: DecisionFilter,
  limits: Limits = {},
): Promise<DecisionRow[]> {
  const { dialect } = store
  const chosen = ids === undefined ? sql`` : sql` and ${dialect.isOneOf(sql.ident('id'), 'text', ids)}`
  const open = finished ? sql`` : sql` and finished_at_ms is null`
  type Found = {
    id: string
    decision: Decision
    participants: string
    decided_by: string
    decided_at_ms: string | number
    finished_at_ms: string | number | null
    age_ms: string | number
  }
  const rows = await store.transaction(
    (tx) =>
      tx.query<Found>(sql`select id, decision, participants, decided_by, decided_at_ms, finished_at_ms, ${dialect.nowMs} - decided_at_ms as age_ms
      from ${store.table('two_phase')} where log = ${log}${chosen}${open} order by decided_at_ms, id limit ${limit}`),
    { readOnly: true, ...given(limits) },
  )
  return rows.map((row) => ({
    id: row.id,
    decision: row.decision,
    participants: JSON.parse(row.participants) as string[],
    decidedBy: row.decided_by,
    decidedAtMs: Number(row.decided_at_ms),
    finishedAtMs: row.finished_at_ms === null ? undefined : Number(row.finished_at_ms),
    ageMs: Math.max(0, Number(row.age_ms)),
  }))
}

export async function markFinished(store: Store, ids: readonly string[], limits: Limits = {}): Promise<void> {
  if (ids.length === 0) return
  const { dialect } = store
  await store.transaction(
    (tx) =>
      tx.execute(
        sql`update ${store.table('two_phase')} set finished_at_ms = ${dialect.nowMs}
      where finished_at_ms is null and ${dialect.isOneOf(sql.ident('id'), 'text', ids)}`,
      ),
    given(limits),
  )
}

export async function deleteDecisions(
  store: Store,
  ids: readonly string[],
  limits: Limits = {},
): Promise<void> {
  if (ids.length === 0) return
  const { dialect } = store
  await store.transaction(
    (tx) =>
      tx.execute(
        sql`delete from ${store.table('two_phase')} where ${dialect.isOneOf(sql.ident('id'), 'text', ids)}`,
      ),
    given(limits),
  )
}

/** Finished decisions that are older than `windowMs`: nobody who could still ask is left. */
export async function pruneDecisions(
  store: Store,
  log: string,
  windowMs: number,
  limits: Limits = {},
): Promise<number> {
  return store.transaction(
    (tx) =>
      tx.execute(
        sql`delete from ${store.table('two_phase')} where log = ${log} and finished_at_ms is not null
      and decided_at_ms < ${store.dialect.nowMs} - ${Math.floor(windowMs)}`,
      ),
    given(limits),
  )
}

/** Without members that are undefined, which an option must not be. */
function given({ timeoutMs, signal }: Limits): { timeoutMs?: number; signal?: AbortSignal } {
  return { ...(timeoutMs !== undefined && { timeoutMs }), ...(signal && { signal }) }
}
