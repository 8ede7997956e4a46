import { ConfigError } from '../../core/errors.ts'
import { requireRevision } from '../../store/migrations.ts'
import { sql } from '../../store/sql.ts'
import type { Store } from '../../store/store.ts'
import type { Transaction } from '../../store/transaction.ts'
import { queueTables } from './tables.ts'

/** Makes topics on first use and remembers the ids of their partitions. */
export class Topics {
  readonly #store: Store
  readonly #partitions: number
  readonly #timeoutMs: number
  readonly #known = new Map<string, Promise<readonly bigint[]>>()

  constructor(store: Store, partitions: number, timeoutMs: number) {
    this.#store = store
    this.#partitions = partitions
    this.#timeoutMs = timeoutMs
  }

  /**
   * The ids of a topic's partitions, by partition number.
   * @throws ConfigError when the topic was made with another number of partitions; SchemaRevisionError
   */
  ids(topic: string): Promise<readonly bigint[]> {
    let ids = this.#known.get(topic)
    if (ids === undefined) {
      ids = this.#find(topic)
      this.#known.set(topic, ids)
      ids.catch(() => this.#known.delete(topic))
    }
    return ids
  }

  /** For when a row that was there is gone (somebody emptied the tables). */
  forget(): void {
    this.#known.clear()
  }

  async #find(topic: string): Promise<readonly bigint[]> {
    const found = await this.#store.transaction(
      async (tx) => {
        await requireRevision(tx, queueTables)
        return readPartitions(tx, topic)
      },
      { readOnly: true, timeoutMs: this.#timeoutMs },
    )
    const ids = found.length > 0 ? found : await this.#create(topic)
    if (ids.length !== this.#partitions) {
      throw new ConfigError('storeQueue', [
        `the topic has ${ids.length} partitions and this queue was told ${this.#partitions}; the number is fixed for the life of a topic`,
      ])
    }
    return ids
  }

  /** Two processes may do this at once: the second one's rows are ignored, and it reads the first one's. */
  #create(topic: string): Promise<readonly bigint[]> {
    return this.#store.transaction(
      async (tx) => {
        const rows = Array.from({ length: this.#partitions }, (_, partition) => [topic, partition, 0, 0])
        await tx.execute(
          this.#store.dialect.insertRows(
            this.#store.table('queue_partition'),
            [
              { name: 'topic', type: 'text' },
              { name: 'partition', type: 'integer' },
              { name: 'next_offset', type: 'bigint' },
              { name: 'first_offset', type: 'bigint' },
            ],
            rows,
            { onConflict: 'ignore' },
          ),
        )
        return readPartitions(tx, topic)
      },
      { isolation: 'read-committed', timeoutMs: this.#timeoutMs },
    )
  }
}

async function readPartitions(tx: Transaction, topic: string): Promise<readonly bigint[]> {
  const rows = await tx.query<{ id: string | number }>(
    sql`select id from ${tx.store.table('queue_partition')} where topic = ${topic} order by partition`,
  )
  return rows.map(({ id }) => BigInt(id))
}
