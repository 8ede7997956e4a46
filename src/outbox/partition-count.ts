import { ConfigError } from '../core/errors.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { OwnTransaction } from '../store/transaction.ts'

interface OutboxParts {
  readonly name: string
  /** The scope of the leases on its partitions. */
  readonly source: string
  readonly partitions: number
}

/**
 * Remembers how many partitions an outbox has, and refuses a relay that was told another number: its messages would
 * wait in partitions that it does not know, and keys would be in two partitions at once.
 *
 * The number is the owner of one row among the leases that never runs. It changes when the outbox is empty and no relay
 * holds a partition. A relay that starts at that very moment may miss the change; partitions are leased by their own
 * numbers, so no two relays then hold the same one.
 * @throws ConfigError
 */
export async function agreeOnPartitions(store: Store, parts: OutboxParts): Promise<void> {
  const scope = `${parts.source}/partitions`
  const which = sql`scope = ${scope} and name = ${NAME}`
  const owner = sql`select owner from ${store.table('lease')} where ${which}`
  // Without a lock where nothing changes, which is nearly always: a process frozen in here then stops nobody.
  const [known] = await store.read<{ owner: string }>(owner)
  if (Number(known?.owner) === parts.partitions) return
  await store.transaction(
    async (tx) => {
      const row = [scope, NAME, String(parts.partitions), 0, 0]
      await tx.execute(
        store.dialect.insertRows(store.table('lease'), COLUMNS, [row], { onConflict: 'ignore' }),
      )
      const [found] = await tx.query<{ owner: string }>(sql`${owner}${store.dialect.forUpdate()}`)
      const remembered = Number(found?.owner)
      if (remembered === parts.partitions) return
      if (await isInUse(tx, parts)) throw disagreement(parts, remembered)
      await tx.execute(
        sql`update ${store.table('lease')} set owner = ${String(parts.partitions)} where ${which}`,
      )
    },
    { isolation: 'read-committed' },
  )
}

const NAME = 'count'

const COLUMNS = [
  { name: 'scope', type: 'text' },
  { name: 'name', type: 'text' },
  { name: 'owner', type: 'text' },
  { name: 'epoch', type: 'bigint' },
  { name: 'until_ms', type: 'bigint' },
] as const

async function isInUse(tx: OwnTransaction, { name, source }: OutboxParts): Promise<boolean> {
  const { store } = tx
  const rows = await tx.query(
    sql`select 1 as used from ${store.table('outbox')} where name = ${name} union all select 1 from ${store.table('outbox_later')} where name = ${name} union all select 1 from ${store.table('lease')} where scope = ${source} and until_ms > ${store.dialect.nowMs} limit 1`,
  )
  return rows.length > 0
}

function disagreement({ name, partitions }: OutboxParts, remembered: number): ConfigError {
  return new ConfigError('createOutbox', [
    `the outbox "${name}" has ${remembered} partitions, and this process was told ${partitions}: give all processes the same number, or stop all relays and let the outbox run empty before the change`,
  ])
}
