/** What is sent to sagas: the statements, one per function. */
import { randomUUID } from 'node:crypto'
import { sql } from '../store/sql.ts'
import type { Transaction } from '../store/transaction.ts'

export interface Signal {
  readonly number: number
  readonly name: string
  readonly payload: string | null
}

/**
 * Keeps the signal and wakes the saga, in that order: a runner takes the saga's row first and reads the signals then, so
 * it finds this one, or the row is woken after it. False when there is no such saga, or it has ended.
 */
export async function insertSignal(
  tx: Transaction,
  signal: {
    readonly sagaId: string
    readonly name: string
    readonly id?: string
    readonly payload: string | null
  },
): Promise<boolean> {
  const { store } = tx
  const { dialect } = store
  const { sagaId, name, id = randomUUID(), payload } = signal
  await tx.execute(
    dialect.insertSelect(
      store.table('saga_signal'),
      ['saga_id', 'name', 'id', 'payload', 'sent_at_ms'],
      sql`select id, ${name}, ${id}, ${payload}, ${dialect.nowMs} from ${store.table('saga')} where id = ${sagaId} and ended_at_ms is null`,
      { onConflict: 'ignore' },
    ),
  )
  return wake(tx, sagaId)
}

/** True when the saga exists and has not ended. A stuck one stays so: nobody looks at it. */
export async function wake(tx: Transaction, sagaId: string): Promise<boolean> {
  const table = tx.store.table('saga')
  const changed = await tx.execute(
    sql`update ${table} set wake_at_ms = case when wake_at_ms is null then null else 0 end where id = ${sagaId} and ended_at_ms is null`,
  )
  return changed === 1
}

export async function requestCancel(tx: Transaction, sagaId: string): Promise<boolean> {
  const changed = await tx.execute(
    sql`update ${tx.store.table('saga')} set cancel = 1, wake_at_ms = case when wake_at_ms is null then null else 0 end
      where id = ${sagaId} and ended_at_ms is null`,
  )
  return changed === 1
}

interface SignalRow {
  readonly number: number | string | bigint
  readonly saga_id: string
  readonly name: string
  readonly payload: string | null
}

/** The signals of these sagas, oldest first. */
export async function readSignals(
  tx: Pick<Transaction, 'store' | 'query'>,
  sagaIds: readonly string[],
): Promise<Map<string, Signal[]>> {
  const { store } = tx
  const rows = await tx.query<SignalRow>(
    sql`select number, saga_id, name, payload from ${store.table('saga_signal')}
      where ${store.dialect.isOneOf(sql.ident('saga_id'), 'text', sagaIds)} order by number`,
  )
  const bySaga = new Map<string, Signal[]>()
  for (const { number, saga_id, name, payload } of rows) {
    const list = bySaga.get(saga_id) ?? []
    bySaga.set(saga_id, list)
    list.push({ number: Number(number), name, payload })
  }
  return bySaga
}
