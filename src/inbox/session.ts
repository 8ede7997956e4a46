import { sql, type Transaction } from '../store/index.ts'

/** One row per partition that is being read; it outlives a process that died, and only that. */
export interface Session {
  /** `inbox/<group>/<topic>`, as the scope of the lease. */
  readonly scope: string
  readonly partition: number
  readonly owner: string
}

/**
 * Says that `owner` begins to read the partition. True when whoever read it before never said that it had ended: its
 * process died, and what it had in hand is delivered again, which a broker does not always know.
 */
export async function openSession(tx: Transaction, { scope, partition, owner }: Session): Promise<boolean> {
  const table = tx.store.table('inbox_session')
  const found = await tx.execute(
    sql`update ${table} set owner = ${owner} where scope = ${scope} and reads_partition = ${partition}`,
  )
  if (found > 0) return true
  await tx.execute(
    sql`insert into ${table} (scope, reads_partition, owner) values (${scope}, ${partition}, ${owner})`,
  )
  return false
}

/** Says that the owner has ended in good order; nothing happens when another has begun meanwhile. */
export async function closeSession(tx: Transaction, { scope, partition, owner }: Session): Promise<void> {
  await tx.execute(
    sql`delete from ${tx.store.table('inbox_session')}
      where scope = ${scope} and reads_partition = ${partition} and owner = ${owner}`,
  )
}
