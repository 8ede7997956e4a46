/** What is peculiar to the store queue; what every broker does is in the contract suite. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Delivery, Message } from '../../src/broker/index.ts'
import { partitionOf } from '../../src/broker/index.ts'
import { append } from '../../src/broker/store-queue/append.ts'
import { queueTables, type StoreQueueOptions, storeQueue } from '../../src/broker/store-queue/index.ts'
import { LINGER_MS } from '../../src/core/poll-pace.ts'
import { fenceTables } from '../../src/fence/index.ts'
import { migrate } from '../../src/store/migrations.ts'
import { sql } from '../../src/store/sql.ts'
import type { Store } from '../../src/store/store.ts'
import { tempFolder } from '../support/files.ts'
import { freshDatabase } from '../support/postgres.ts'
import { until } from '../support/wait.ts'
import { openStore } from './store-queue-stores.ts'

const signal = new AbortController().signal

const kinds = {
  SQLite: async () => {
    const folder = tempFolder('queue')
    return { url: `sqlite:${folder.file('queue.db')}`, remove: async () => folder.remove() }
  },
  PostgreSQL: async () => {
    const database = await freshDatabase()
    return { url: database.url, remove: () => database.drop() }
  },
}

describe.each(Object.entries(kinds))('store queue on %s', (kind, make) => {
  let store: Store
  const ends: (() => Promise<unknown>)[] = []

  beforeEach(async () => {
    const { url, remove } = await make()
    const opened = openStore(url)
    store = opened.store
    ends.push(opened.close, remove)
    await migrate(store, [queueTables, fenceTables])
  })
  afterEach(async () => {
    for (const end of ends.splice(0)) await end()
  })

  function open(options: StoreQueueOptions = {}) {
    const queue = storeQueue(store, { partitions: 2, ...options })
    ends.unshift(() => queue.close())
    return queue
  }

  it('stores nothing of a key behind a refused message, of another topic either', async () => {
    const queue = open()
    const of = (id: string, topic: string, key: string, payload = '1'): Message => ({
      id,
      topic,
      key,
      payload,
      headers: {},
      publishedAtMs: 0,
    })
    const results = await queue.publish(
      [of('bad', 'a', 'k', '"\0"'), of('behind', 'b', 'k'), of('beside', 'b', 'l')],
      { signal },
    )
    expect(results.map((r) => r.kind)).toEqual(['refused', 'unknown', 'stored'])
  })

  it('refuses a relay whose epoch a newer one has overtaken, and says so', async () => {
    const queue = open({ source: 'orders' })
    const other = open({ source: 'payments' })
    const as = (epoch: bigint) => ({ signal, publisher: { scope: 'outbox/main', partition: '3', epoch } })
    expect(await queue.publish([message('1')], as(7n))).toEqual([{ kind: 'stored' }])
    expect(await queue.publish([message('2')], as(8n))).toEqual([{ kind: 'stored' }])
    await expect(queue.publish([message('zombie')], as(7n))).rejects.toMatchObject({
      code: 'STALE_FENCE',
      outcome: 'not-applied',
    })
    expect(await other.publish([message('3')], as(1n))).toEqual([{ kind: 'stored' }])
    expect(await storedIds()).toEqual(['1', '2', '3'])
  })

  it('refuses to work with another number of partitions than the topic was made with', async () => {
    await open().publish([message('1')], { signal })
    const wrong = open({ partitions: 3 })
    await expect(wrong.publish([message('2')], { signal })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    await expect(
      wrong.subscribe({ topic: 't', group: 'g', partition: 0, prefetch: 1 }, () => {}),
    ).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    expect(await storedIds()).toEqual(['1'])
  })

  it('counts offsets above 2^31 and 2^53 exactly', async () => {
    const queue = open({ partitions: 1 })
    await queue.declare({ topic: 't', group: 'g' })
    for (const start of [2n ** 31n - 2n, 2n ** 53n - 2n, 2n ** 62n]) {
      await store.execute(
        sql`update ${store.table('queue_partition')} set next_offset = ${start}, first_offset = ${start}`,
      )
      await store.execute(
        sql`update ${store.table('queue_cursor')} set next_offset = ${start}, delivered_offset = ${start}`,
      )
      const batch = Array.from({ length: 6 }, (_, i) => message(`${start}+${i}`))
      for (const one of batch) await queue.publish([one], { signal })
      const got: Delivery[] = []
      const subscription = await queue.subscribe(
        { topic: 't', group: 'g', partition: 0, prefetch: 10 },
        (d) => {
          got.push(d)
          d.ack()
        },
      )
      await until(() => got.length >= 6)
      await subscription.close()
      expect(got.map((d) => d.message.id)).toEqual(batch.map((m) => m.id))
      expect(await cursors()).toEqual([start + 6n])
    }
  })

  it('starts a group at `latest` in all partitions at its first subscription', async () => {
    const queue = open()
    const keys = [keyOf(0), keyOf(1)]
    await queue.publish(
      keys.map((key, i) => message(`old ${i}`, key)),
      { signal },
    )
    const got: string[] = []
    const read = (partition: number) =>
      queue.subscribe({ topic: 't', group: 'g', partition, prefetch: 5, from: 'latest' }, (d) => {
        got.push(d.message.id)
        d.ack()
      })
    await read(0)
    await queue.publish(
      keys.map((key, i) => message(`new ${i}`, key)),
      { signal },
    )
    await read(1)
    await until(() => got.length >= 2)
    expect(got.sort()).toEqual(['new 0', 'new 1'])
  })

  it('never moves a cursor back when an older process stores its place late', async () => {
    const [slow, fast] = [open(), open()]
    const key = keyOf(0)
    await slow.publish(
      Array.from({ length: 4 }, (_, i) => message(String(i), key)),
      { signal },
    )
    const held: Delivery[] = []
    const zombie = await slow.subscribe({ topic: 't', group: 'g', partition: 0, prefetch: 9 }, (d) =>
      held.push(d),
    )
    await until(() => held.length === 4)
    let acked = 0
    const successor = await fast.subscribe({ topic: 't', group: 'g', partition: 0, prefetch: 9 }, (d) => {
      d.ack()
      acked++
    })
    await until(() => acked === 4)
    await successor.close()
    held[0]?.ack()
    await zombie.close()
    expect(Math.max(...(await cursors()).map(Number))).toBe(4)
  })

  it('removes what every group has consumed and is old enough, and nothing else', async () => {
    const queue = open({ partitions: 1, retentionMs: 60_000, retentionMaxMs: 120_000 })
    await queue.publish(
      Array.from({ length: 10 }, (_, i) => message(String(i))),
      { signal },
    )
    await queue.declare({ topic: 't', group: 'slow' })
    const consume = async (group: string, count: number) => {
      let acked = 0
      const subscription = await queue.subscribe({ topic: 't', group, partition: 0, prefetch: 1 }, (d) => {
        if (acked < count) d.ack()
        acked++
      })
      await until(() => acked > Math.min(count, 9) || acked === 10)
      await subscription.close()
    }
    await consume('fast', 10)
    await consume('slow', 4)
    expect(await queue.sweep()).toEqual({ removed: 0 }) // all consumed by `fast`, but young
    await age(90_000)
    expect(await queue.sweep()).toEqual({ removed: 4 })
    expect(await storedIds()).toEqual(['4', '5', '6', '7', '8', '9'])
    expect((await queue.figures()).groups).toMatchObject([
      { topic: 't', group: 'fast', backlog: 0, oldestAgeMs: 0 },
      { topic: 't', group: 'slow', backlog: 6 },
    ])
    await age(60_000)
    expect(await queue.sweep()).toEqual({ removed: 6 }) // past retentionMaxMs
    await queue.publish([message('after')], { signal })
    const got: string[] = []
    await queue.subscribe({ topic: 't', group: 'slow', partition: 0, prefetch: 5 }, (d) => {
      got.push(d.message.id)
      d.ack()
    })
    await until(() => got.length === 1)
    expect(got).toEqual(['after'])
  })

  it('keeps everything of a topic that no group has read', async () => {
    const queue = open({ retentionMs: 0 })
    await queue.publish([message('1'), message('2')], { signal })
    await age(1e9)
    expect(await queue.sweep()).toEqual({ removed: 0 })
  })

  it('bounds how far a group runs ahead of a message that is never settled', async () => {
    const queue = open({ partitions: 1, aheadMax: 20 })
    await queue.publish(
      Array.from({ length: 100 }, (_, i) => message(String(i))),
      { signal },
    )
    const got: Delivery[] = []
    await queue.subscribe({ topic: 't', group: 'g', partition: 0, prefetch: 5 }, (d) => {
      got.push(d)
      if (got.length > 1) d.ack()
    })
    await until(() => got.length === 20)
    got[0]?.ack()
    await until(() => got.length === 100)
    expect(got.map((d) => d.message.id)).toEqual(Array.from({ length: 100 }, (_, i) => String(i)))
  })

  it('costs one statement per poll for many idle partitions', async () => {
    let statements = 0
    const counted: Store = {
      ...store,
      transaction: (work, options) =>
        store.transaction((tx, attempt) => {
          const query = tx.query.bind(tx)
          tx.query = (...args: Parameters<typeof tx.query>) => {
            statements++
            return query(...args) as never
          }
          return work(tx, attempt)
        }, options),
    }
    const queue = storeQueue(counted, { partitions: 16, pollMinMs: 10, pollMaxMs: 10 })
    ends.unshift(() => queue.close())
    for (const topic of ['a', 'b'])
      for (let partition = 0; partition < 16; partition++)
        await queue.subscribe({ topic, group: 'g', partition, prefetch: 5 }, () => {})
    const start = performance.now()
    statements = 0
    await until(() => statements >= 10)
    expect(statements / ((performance.now() - start) / 10)).toBeLessThan(1.5)
  })

  it('does not take a message of its own process, met before publish has its answer, for one of another', async () => {
    let looks = 0
    const seen: Delivery[] = []
    const late: Store = {
      ...store,
      transaction: async (work, options) => {
        const result = await store.transaction(work, options)
        if (options?.readOnly) looks++
        else if (publishing) await until(() => seen.length === 1)
        return result
      },
    }
    let publishing = false
    const queue = storeQueue(late, { partitions: 1, pollMinMs: 1 })
    ends.unshift(() => queue.close())
    await queue.subscribe({ topic: 't', group: 'g', partition: 0, prefetch: 5 }, (delivery) => {
      seen.push(delivery)
      delivery.ack()
    })
    await until(() => looks > 5)
    publishing = true
    await queue.publish([{ id: 'i', topic: 't', key: null, payload: '1', headers: {}, publishedAtMs: 0 }], {
      signal,
    })
    publishing = false
    const [beganMs, before] = [store.clock.monotonic(), looks]
    await until(() => looks >= before + 6)
    // Six at the pace for messages of others take 6 ms.
    expect(store.clock.monotonic() - beganMs).toBeGreaterThan(LINGER_MS)
  })

  it('rejects `done` when its tables are gone', async () => {
    const queue = open()
    const subscription = await queue.subscribe(
      { topic: 't', group: 'g', partition: 0, prefetch: 5 },
      () => {},
    )
    await store.execute(sql`drop table ${store.table('queue_partition')}`)
    await expect(subscription.done).rejects.toMatchObject({ code: 'SCHEMA_REVISION' })
  })

  it('names missing tables when it is used', async () => {
    await store.execute(sql`drop table ${store.table('revision')}`)
    await expect(open().publish([message('1')], { signal })).rejects.toMatchObject({
      code: 'SCHEMA_REVISION',
    })
  })

  // SQLite has one writer, so publishers cannot overlap.
  if (kind === 'PostgreSQL')
    it('makes the offsets of a partition visible in order while publishers overlap', async () => {
      const queue = open({ partitions: 1 })
      await queue.publish([message('0')], { signal })
      const got: string[] = []
      await queue.subscribe({ topic: 't', group: 'g', partition: 0, prefetch: 50 }, (d) => {
        got.push(d.message.id)
        d.ack()
      })
      await until(() => got.length === 1)
      // A publisher that has taken its offset and not committed yet.
      let commit!: () => void
      const committing = new Promise<void>((resolve) => {
        commit = resolve
      })
      let appended!: () => void
      const hasAppended = new Promise<void>((resolve) => {
        appended = resolve
      })
      const slow = store.transaction(async (tx) => {
        await append(tx, [{ partitionId: 1n, message: message('slow') }])
        appended()
        await committing
      })
      await hasAppended
      let stored = false
      const fast = queue.publish([message('fast')], { signal }).then(() => {
        stored = true
      })
      await until(async () => (await waitingBackends()) > 0)
      expect(stored).toBe(false)
      commit()
      await Promise.all([slow, fast])
      await until(() => got.length === 3)
      expect(got).toEqual(['0', 'slow', 'fast'])
    })

  async function waitingBackends(): Promise<number> {
    const [row] = await store.query<{ n: string }>(
      "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
    )
    return Number(row?.n)
  }

  async function storedIds(): Promise<string[]> {
    const rows = await store.query<{ message_id: string }>(
      sql`select message_id from ${store.table('queue_message')} order by message_id`,
    )
    return rows.map((r) => r.message_id)
  }

  async function cursors(): Promise<bigint[]> {
    const rows = await store.query<{ next_offset: string }>(
      sql`select next_offset from ${store.table('queue_cursor')} order by id`,
    )
    return rows.map((r) => BigInt(r.next_offset))
  }

  async function age(ms: number): Promise<void> {
    await store.execute(
      sql`update ${store.table('queue_message')} set appended_at_ms = appended_at_ms - ${ms}`,
    )
  }
})

function message(id: string, key = 'k'): Message {
  return { id, topic: 't', key, payload: '{}', headers: {}, publishedAtMs: 1 }
}

/** A key that goes to this one of two partitions. */
function keyOf(partition: number): string {
  for (let i = 0; ; i++) if (partitionOf(`k${i}`, 2) === partition) return `k${i}`
}
