/** Limits over all processes: how many of a saga run at a time, in all and for each key, and how many are begun in a while. */
import { sql } from '../store/sql.ts'
import type { OwnTransaction, Transaction } from '../store/transaction.ts'
import type { DueRow } from './claim.ts'
import type { Saga } from './saga.ts'

/** A saga that found no place is looked at again after this, or when one of its kind ends. */
const WAIT_MS = 1_000

/**
 * Which of these sagas may run now; the others are put off. Those without a limit may, as may those that were admitted
 * before.
 *
 * One row per limited saga is locked first, so that two processes cannot both see the last free place.
 */
export async function admit(
  tx: OwnTransaction,
  rows: readonly DueRow[],
  known: ReadonlyMap<string, Saga<never, unknown>>,
): Promise<ReadonlySet<string>> {
  const admitted = new Set<string>()
  const asking = new Map<string, DueRow[]>()
  for (const row of rows) {
    const definition = known.get(row.name)
    if (!definition?.isLimited || Number(row.admitted) === 1) admitted.add(row.id)
    else asking.set(row.name, [...(asking.get(row.name) ?? []), row])
  }
  const putOff: { readonly id: string; readonly untilMs: number | undefined }[] = []
  // In one order, so that two processes cannot wait for each other in a circle.
  for (const name of [...asking.keys()].sort()) {
    const { options } = known.get(name) as Saga<never, unknown>
    await lockFlow(tx, name)
    let left =
      options.concurrency === undefined ? undefined : options.concurrency - (await countRunning(tx, name))
    const byKey = new Map<string, number>()
    for (const row of asking.get(name) ?? []) {
      const key = row.flow_key ?? ''
      if (left !== undefined && left <= 0) {
        putOff.push({ id: row.id, untilMs: undefined })
        continue
      }
      if (options.concurrencyPerKey !== undefined) {
        const running = byKey.get(key) ?? (await countRunning(tx, name, key))
        byKey.set(key, running)
        if (running >= options.concurrencyPerKey) {
          putOff.push({ id: row.id, untilMs: undefined })
          continue
        }
      }
      if (options.rate !== undefined) {
        const untilMs = await takeFromRate(tx, `${name}\n${key}`, options.rate)
        if (untilMs !== undefined) {
          putOff.push({ id: row.id, untilMs })
          continue
        }
      }
      admitted.add(row.id)
      byKey.set(key, (byKey.get(key) ?? 0) + 1)
      if (left !== undefined) left -= 1
    }
  }
  for (const { id, untilMs } of putOff) {
    const { dialect } = tx.store
    const at = untilMs === undefined ? sql`${dialect.nowMs} + ${WAIT_MS}` : sql`${untilMs}`
    await tx.execute(sql`update ${tx.store.table('saga')} set wake_at_ms = ${at} where id = ${id}`)
  }
  return admitted
}

async function lockFlow(tx: OwnTransaction, key: string): Promise<void> {
  const { store } = tx
  const table = store.table('saga_flow')
  await tx.execute(
    sql`insert into ${table} (key, window_at_ms, used) values (${key}, 0, 0) on conflict (key) do nothing`,
  )
  await tx.query(sql`select key from ${table} where key = ${key}${store.dialect.forUpdate()}`)
}

async function countRunning(tx: OwnTransaction, name: string, key?: string): Promise<number> {
  const ofKey = key === undefined ? sql`flow_key is not null` : sql`flow_key = ${key}`
  const [row] = await tx.query<{ n: unknown }>(
    sql`select count(*) as n from ${tx.store.table('saga')}
      where name = ${name} and ${ofKey} and ended_at_ms is null and admitted = 1`,
  )
  return Number(row?.n)
}

/** Takes one of the window's places; when none is left, gives the time of the next window. */
async function takeFromRate(
  tx: OwnTransaction,
  key: string,
  { limit, perMs }: { readonly limit: number; readonly perMs: number },
): Promise<number | undefined> {
  const { store } = tx
  const table = store.table('saga_flow')
  await lockFlow(tx, key)
  const [row] = await tx.query<{ window_at_ms: unknown; used: unknown; now_ms: unknown }>(
    sql`select window_at_ms, used, ${store.dialect.nowMs} as now_ms from ${table} where key = ${key}`,
  )
  const nowMs = Number(row?.now_ms)
  const windowAtMs = Number(row?.window_at_ms)
  const fresh = nowMs >= windowAtMs + perMs
  const used = fresh ? 0 : Number(row?.used)
  if (used >= limit) return Math.ceil(windowAtMs + perMs)
  await tx.execute(
    sql`update ${table} set window_at_ms = ${fresh ? nowMs : windowAtMs}, used = ${used + 1} where key = ${key}`,
  )
  return undefined
}

/** When a limited saga ends: those that wait for a place look again at once. */
export async function freePlace(tx: Transaction, name: string): Promise<void> {
  await tx.execute(
    sql`update ${tx.store.table('saga')} set wake_at_ms = started_at_ms - priority * 1000000000000
      where name = ${name} and flow_key is not null and ended_at_ms is null and admitted = 0
      and held = 0 and wake_at_ms is not null and wake_at_ms > started_at_ms`,
  )
}
