import { type Sql, sql, type Transaction } from '../store/index.ts'

export interface StepResult {
  readonly scope: string
  readonly id: string
  readonly phase: string
  /** JSON. */
  readonly text: string
}

/**
 * Stores what steps gave in their rows, which this transaction has inserted. Queued until COMMIT, with which the last one
 * travels: nobody else can look at the row before.
 */
export async function storeResults(
  tx: Transaction,
  results: readonly StepResult[],
): Promise<Sql | undefined> {
  const statements = results.map(
    ({ scope, id, phase, text }) =>
      sql`update ${tx.store.table('effect')} set result = ${text} where scope = ${scope} and id = ${id} and phase = ${phase}`,
  )
  for (const statement of statements.slice(0, -1)) await tx.execute(statement)
  return statements.at(-1)
}
