import { sql } from '../store/sql.ts'
import type { TransactionBase } from '../store/transaction.ts'

/** Milliseconds. */
export interface StepMs {
  readonly p50: number
  readonly p95: number
}

/** Of the 300 sagas that ended last, at most a thousand steps: from the entry before it to that of the step. */
export async function readStepMs(tx: Pick<TransactionBase, 'store' | 'query'>): Promise<StepMs | undefined> {
  const { table } = tx.store
  const rows = await tx.query<{ ms: unknown }>(
    sql`select e.at_ms - coalesce(p.at_ms, s.started_at_ms) as ms
      from (select id, started_at_ms from ${table('saga')} where ended_at_ms is not null
        order by ended_at_ms desc limit 300) as s
      join ${table('saga_entry')} as e on e.saga_id = s.id and e.kind = 'step'
      left join ${table('saga_entry')} as p on p.saga_id = s.id and p.seq = e.seq - 1 limit 1000`,
  )
  const ms = rows.map((row) => Number(row.ms)).sort((a, b) => a - b)
  if (ms.length === 0) return undefined
  const at = (share: number): number => ms[Math.floor(ms.length * share)] as number
  return { p50: at(0.5), p95: at(0.95) }
}
