import { checkOptions, isName, optionsOf } from '../core/options.ts'
import { isStore } from '../store/arguments.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { OwnTransaction } from '../store/transaction.ts'
import { isSequence } from './layout.ts'
import { checkFits, type SequenceSource } from './source.ts'

export interface StoreCounterOptions {
  /** Which counter of the store. Default `ids`. */
  readonly name?: string
  /** Reserve nothing below this: for moving on from a state file (`inspectFileCounter`) or another counter. */
  readonly notBelow?: bigint
}

/**
 * A counter per instance in the store's table `id_counter`, one short transaction per block. Any number of generators
 * may share it, even under one instance number: each block is given out once.
 *
 * Where the answer to COMMIT is lost, the block is left unused. A database restored from a backup has the numbers of
 * its day: raise them by `notBelow`.
 * @throws ConfigError
 */
export function storeCounter(store: Store, options: StoreCounterOptions = {}): SequenceSource {
  const { name = 'ids', notBelow = 0n } = optionsOf('storeCounter', options)
  checkOptions(
    'storeCounter',
    options,
    ['name', 'notBelow'],
    [isStore(store), isName('name', name), isSequence('notBelow', notBelow)],
  )
  return {
    shared: true,
    open: async (instance) => ({
      reserve: (count) =>
        store.transaction((tx) => reserve(tx, { name, instance, count, notBelow }), {
          isolation: 'read-committed',
          urgent: true,
        }),
      close: async () => {},
    }),
  }
}

interface Wanted {
  readonly name: string
  readonly instance: number
  readonly count: number
  readonly notBelow: bigint
}

/** The update locks the row, so the number read after it in the same transaction is that of this block. */
async function reserve(tx: OwnTransaction, { name, instance, count, notBelow }: Wanted): Promise<number> {
  const table = tx.store.table('id_counter')
  const floor = notBelow + BigInt(count)
  const move = (): Promise<number> =>
    tx.execute(
      sql`update ${table} set next_sequence = case when next_sequence + ${BigInt(count)} < ${floor} then ${floor} else next_sequence + ${BigInt(count)} end
        where name = ${name} and instance = ${instance}`,
    )
  if ((await move()) === 0) {
    // The unique key decides between two that begin at once; whoever came second then moves the first one's row.
    await tx.execute(
      tx.store.dialect.insertRows(
        table,
        [
          { name: 'name', type: 'text' },
          { name: 'instance', type: 'integer' },
          { name: 'next_sequence', type: 'bigint' },
        ],
        [[name, instance, 0n]],
        { onConflict: 'ignore' },
      ),
    )
    await move()
  }
  const [row] = await tx.query<{ next_sequence: unknown }>(
    sql`select next_sequence from ${table} where name = ${name} and instance = ${instance}`,
  )
  const first = Number(row?.next_sequence) - count
  checkFits(first, count)
  return first
}
