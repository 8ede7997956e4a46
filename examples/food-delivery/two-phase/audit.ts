/** What the two databases say, read with SQL; shares no code with what wrote it. */
import type { PgPool } from '../shared/database.ts'

export interface Anomalies {
  /** Orders with the money taken and no portions, or the portions and no money. */
  halfDone: number
  /** Orders that the customer was told are placed and that one of the databases does not know. */
  promisedAndGone: number
  /** Accounts whose balance is not the opening balance plus the ledger. */
  moneyCreatedOrLost: number
  /** Dishes whose portions left are not the total less the tickets. */
  stockMiscounted: number
  /** Orders charged or cooked more than once. */
  twice: number
  /** Prepared transactions that are left, with their locks. */
  leftPrepared: number
}

export interface Finding {
  readonly kind: keyof Anomalies
  readonly text: string
}

export async function audit(
  payment: PgPool,
  restaurant: PgPool,
  placed: readonly string[],
): Promise<{ anomalies: Anomalies; findings: Finding[]; both: number }> {
  const ids = async (pool: PgPool, table: string): Promise<string[]> =>
    ((await pool.query(`select order_id from ${table}`)).rows as { order_id: string }[]).map(
      (row) => row.order_id,
    )
  const [paid, cooked] = [await ids(payment, 'ledger'), await ids(restaurant, 'ticket')]
  const [paidSet, cookedSet] = [new Set(paid), new Set(cooked)]
  const findings: Finding[] = []
  const add = (kind: keyof Anomalies, text: string): void => void findings.push({ kind, text })

  for (const id of paidSet) if (!cookedSet.has(id)) add('halfDone', `${id}: paid, and no portions`)
  for (const id of cookedSet) if (!paidSet.has(id)) add('halfDone', `${id}: portions, and not paid`)
  for (const id of placed) {
    if (!paidSet.has(id) || !cookedSet.has(id))
      add('promisedAndGone', `${id}: the customer was told that it is placed`)
  }
  for (const [what, list] of [
    ['charged', paid],
    ['cooked', cooked],
  ] as const) {
    const seen = new Set<string>()
    for (const id of list) {
      if (seen.has(id)) add('twice', `${id}: ${what} more than once`)
      seen.add(id)
    }
  }
  const accounts = await payment.query(
    `select id from account where balance_cents <> opening_cents +
       (select coalesce(sum(amount_cents), 0) from ledger where account = account.id)`,
  )
  for (const row of accounts.rows as { id: string }[])
    add('moneyCreatedOrLost', `${row.id}: balance and ledger differ`)
  const dishes = await restaurant.query(
    `select id from dish where portions_left <> portions_total -
       (select coalesce(sum(quantity), 0) from ticket where dish = dish.id)`,
  )
  for (const row of dishes.rows as { id: string }[])
    add('stockMiscounted', `${row.id}: portions and tickets differ`)
  for (const pool of [payment, restaurant]) {
    const { rows } = await pool.query('select gid from pg_prepared_xacts where database = current_database()')
    for (const row of rows as { gid: string }[]) add('leftPrepared', `${row.gid} is left prepared`)
  }
  const count = (kind: keyof Anomalies): number => findings.filter((f) => f.kind === kind).length
  return {
    anomalies: {
      halfDone: count('halfDone'),
      promisedAndGone: count('promisedAndGone'),
      moneyCreatedOrLost: count('moneyCreatedOrLost'),
      stockMiscounted: count('stockMiscounted'),
      twice: count('twice'),
      leftPrepared: count('leftPrepared'),
    },
    findings,
    both: [...paidSet].filter((id) => cookedSet.has(id)).length,
  }
}
