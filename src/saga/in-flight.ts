import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { TransactionBase } from '../store/transaction.ts'
import { readReason } from './look.ts'
import { readStepMs, type StepMs } from './step-ms.ts'

/** What of the sagas has not ended. */
export interface SagasInFlight {
  /** Running or going back; those that wait for something included. */
  readonly inFlight: number
  readonly stuck: number
  /** Age of the oldest that has not ended, stuck ones included; 0 without any. */
  readonly oldestAgeMs: number
  /** In flight, in a partition that no runner holds. */
  readonly unheld: number
  /** Due for more than a minute, in a partition whose runner does not take them up. */
  readonly overdue: number
  /** From one entry of a saga to the next, over the steps of those that ended last; undefined without any. */
  readonly stepMs: StepMs | undefined
  /** The stuck ones, oldest first; at most ten. */
  readonly stuckSagas: readonly {
    readonly id: string
    readonly name: string
    readonly ageMs: number
    readonly reason: string | null
  }[]
}

const OVERDUE_MS = 60_000
const STUCK_SHOWN = 10

/** Reads by the indexes of what has not ended, so that it costs little however many have. */
export async function readInFlight(store: Store): Promise<SagasInFlight> {
  return store.transaction(
    async (tx) => {
      const { inFlight, unheld, overdue, oldestAgeMs } = await countInFlight(tx)
      const stuck = await readStuck(tx)
      return {
        inFlight,
        stuck: stuck.count,
        oldestAgeMs: Math.max(oldestAgeMs, ...stuck.shown.map((saga) => saga.ageMs)),
        unheld,
        overdue,
        stepMs: await readStepMs(tx),
        stuckSagas: stuck.shown,
      }
    },
    { readOnly: true },
  )
}

async function countInFlight(tx: Pick<TransactionBase, 'store' | 'query'>) {
  const { table, dialect } = tx.store
  const [row] = await tx.query<Record<'in_flight' | 'oldest' | 'unheld' | 'overdue', unknown>>(
    // A higher priority is an earlier time to wake, so that alone does not make it overdue.
    sql`select count(*) as in_flight, max(f.now_ms - f.started_at_ms) as oldest,
        sum(case when f.is_held then 0 else 1 end) as unheld,
        sum(case when f.is_held and f.wake_at_ms < f.now_ms - ${OVERDUE_MS} and f.started_at_ms < f.now_ms - ${OVERDUE_MS}
          then 1 else 0 end) as overdue
      from (select s.wake_at_ms, s.started_at_ms, ${dialect.nowMs} as now_ms,
          coalesce(l.until_ms, 0) > ${dialect.nowMs} as is_held
        from ${table('saga')} as s left join ${table('lease')} as l on l.name = s.partition and l.scope like 'saga/%'
        where s.wake_at_ms is not null) as f`,
  )
  return {
    inFlight: Number(row?.in_flight ?? 0),
    oldestAgeMs: Math.max(0, Number(row?.oldest ?? 0)),
    unheld: Number(row?.unheld ?? 0),
    overdue: Number(row?.overdue ?? 0),
  }
}

async function readStuck(tx: Pick<TransactionBase, 'store' | 'query'>) {
  const { table, dialect } = tx.store
  const [row] = await tx.query<{ n: unknown }>(
    sql`select count(*) as n from ${table('saga')} where state = 'stuck'`,
  )
  const rows = await tx.query<{ id: string; name: string; age_ms: unknown; reason: string | null }>(
    sql`select id, name, ${dialect.nowMs} - started_at_ms as age_ms, reason from ${table('saga')}
      where state = 'stuck' order by started_at_ms limit ${STUCK_SHOWN}`,
  )
  return {
    count: Number(row?.n ?? 0),
    shown: rows.map(({ id, name, age_ms, reason }) => ({
      id,
      name,
      ageMs: Math.max(0, Number(age_ms)),
      reason: readReason(reason),
    })),
  }
}
