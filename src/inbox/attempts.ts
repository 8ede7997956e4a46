import type { EffectKey } from '../effects/index.ts'
import { type Sql, sql, type Transaction } from '../store/index.ts'

const COLUMNS = [
  { name: 'scope', type: 'text' },
  { name: 'id', type: 'text' },
  { name: 'phase', type: 'text' },
  { name: 'attempts', type: 'integer' },
  { name: 'started_at_ms', type: 'bigint' },
] as const

export interface CountOptions {
  /** The row of a message is named like its effect row. */
  readonly effect: Required<EffectKey>
  /** The number of this attempt where no row says otherwise. */
  readonly first: number
  /** False: a message that was counted before is left as it is. */
  readonly recount: boolean
}

/**
 * Counts an attempt before it begins, so that a message that kills its process cannot do so for ever. Gives its
 * number, or undefined where it stays uncounted. Only messages delivered or failed before are counted.
 */
export async function countAttempt(
  tx: Transaction,
  { effect, first, recount }: CountOptions,
): Promise<number | undefined> {
  const table = tx.store.table('inbox_attempt')
  const nowMs = tx.store.clock.now()
  const row = [effect.scope, effect.id, effect.phase, first, nowMs]
  const inserted = await tx.execute(
    tx.store.dialect.insertRows(table, COLUMNS, [row], { onConflict: 'ignore' }),
  )
  if (inserted === 1) return first
  if (!recount) return undefined
  await tx.execute(
    sql`update ${table} set attempts = attempts + 1, started_at_ms = ${nowMs} where ${is(effect)}`,
  )
  const [counted] = await tx.query<{ attempts: number }>(
    sql`select attempts from ${table} where ${is(effect)}`,
  )
  return Number(counted?.attempts ?? first)
}

/** In the transaction that handles the message or makes it a dead letter. */
export async function forgetAttempts(tx: Transaction, effect: Required<EffectKey>): Promise<void> {
  await tx.execute(sql`delete from ${tx.store.table('inbox_attempt')} where ${is(effect)}`)
}

/** Deletes up to `limit` rows older than `olderThanMs`: messages that the broker lost or another group settled. */
export async function pruneAttempts(
  tx: Transaction,
  { scope, olderThanMs, limit }: { scope: string; olderThanMs: number; limit: number },
): Promise<number> {
  const table = tx.store.table('inbox_attempt')
  const rows = await tx.query<{ id: string }>(
    sql`select id from ${table} where scope = ${scope} and started_at_ms < ${tx.store.clock.now() - olderThanMs} limit ${limit}`,
  )
  if (rows.length === 0) return 0
  const ids = rows.map((row) => row.id)
  return tx.execute(
    sql`delete from ${table} where scope = ${scope} and ${tx.store.dialect.isOneOf(sql.ident('id'), 'text', ids)}`,
  )
}

function is({ scope, id, phase }: Required<EffectKey>): Sql {
  return sql`scope = ${scope} and id = ${id} and phase = ${phase}`
}
