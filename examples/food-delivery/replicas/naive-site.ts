/** The usual way: rows with `updated_at`, sent to the others after the commit; the newer row wins. */
import { randomUUID } from 'node:crypto'
import { sql } from 'holdfast/store'
import type { LocalSite, SiteParts } from './local-site.ts'
import { writeDown } from './local-site.ts'
import { type CollectionName, type Operation, SITES } from './operations.ts'

const TOPIC = 'rows'

interface NaiveRow {
  readonly collection: CollectionName
  readonly key: string
  readonly version: string
  readonly total: number
  readonly updated_at_ms: number
}

export async function startNaiveSite({ site, store, broker }: SiteParts): Promise<LocalSite> {
  await store.execute(
    'create table if not exists naive_row (collection text not null, key text primary key, version text not null, total integer not null, updated_at_ms integer not null)',
  )
  const subscriptions = await Promise.all(
    Array.from({ length: broker.partitions }, (_, partition) =>
      broker.subscribe({ topic: TOPIC, group: site, partition, prefetch: 64 }, (delivery) => {
        void apply(JSON.parse(delivery.message.payload)).then(
          () => delivery.ack(),
          () => delivery.release(),
        )
      }),
    ),
  )

  return {
    async operate(operation) {
      const row = await store.transaction(async (tx) => {
        const { collection, key, kind, id } = operation
        const [old] = await tx.query<NaiveRow>(sql`select * from naive_row where key = ${key}`)
        const next = {
          collection,
          key,
          version: id,
          total: Number(old?.total ?? 0) + 1,
          updated_at_ms: Date.now(),
        }
        if (kind === 'delete') await tx.execute(sql`delete from naive_row where key = ${key}`)
        else await upsert(tx, next)
        await writeDown(tx, operation, { wrote: id, saw: old === undefined ? [] : [old.version] })
        return next
      })
      await send(operation, row)
      return { confirmed: false, staleMs: null }
    },
    async readings() {
      const rows = await store.read<NaiveRow>('select * from naive_row')
      return rows.map(({ collection, key, version, total }) => ({
        collection,
        key,
        versions: collection === 'likes' ? [] : [version],
        total: collection === 'likes' ? Number(total) : 0,
      }))
    },
    inConflicts: async () => [],
    answer: async () => ({}),
    stop: async () => void (await Promise.all(subscriptions.map((subscription) => subscription.close()))),
  }

  async function apply({ from, kind, row }: { from: string; kind: string; row: NaiveRow }): Promise<void> {
    if (from === site) return
    if (kind === 'delete') {
      const { key, updated_at_ms } = row
      await store.execute(sql`delete from naive_row where key = ${key} and updated_at_ms <= ${updated_at_ms}`)
    } else await upsert(store, row)
  }

  async function upsert(on: Pick<typeof store, 'execute'>, row: NaiveRow): Promise<void> {
    const { collection, key, version, total, updated_at_ms } = row
    await on.execute(
      sql`insert into naive_row (collection, key, version, total, updated_at_ms)
        values (${collection}, ${key}, ${version}, ${total}, ${updated_at_ms})
        on conflict (key) do update set version = excluded.version, total = excluded.total,
          updated_at_ms = excluded.updated_at_ms
        where naive_row.updated_at_ms <= excluded.updated_at_ms`,
    )
  }

  /** After the commit: what cannot be sent is tried a few times, and is then forgotten, as is what a crash cuts short. */
  async function send({ kind }: Operation, row: NaiveRow): Promise<void> {
    const payload = JSON.stringify({ from: site, kind, row })
    const message = {
      id: randomUUID(),
      topic: TOPIC,
      key: row.key,
      payload,
      headers: {},
      publishedAtMs: Date.now(),
    }
    for (let tries = 0; tries < SITES.length; tries++) {
      const [result] = await broker.publish([message], { signal: AbortSignal.timeout(2_000) }).catch(() => [])
      if (result?.kind === 'stored') return
    }
  }
}
