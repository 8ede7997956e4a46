/** What the tables hold after much has gone through them. */
import { type Store, sql } from 'holdfast'
import { directBroker } from 'holdfast/broker'
import { createOutbox } from 'holdfast/outbox'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { countRows, useStore } from './stores.ts'

const MESSAGES = 20_000
const ROUNDS = 10

describe('after 20,000 messages on postgres', () => {
  let store: Store
  let at: string
  useStore('postgres', (opened) => {
    ;({ store, at } = opened)
  })

  async function publish(count: number): Promise<void> {
    const outbox = createOutbox(store)
    for (let n = 0; n < count; n += 1_000) {
      await store.transaction(async (tx) => {
        for (let i = n; i < n + 1_000; i++)
          await outbox.publish(tx, { topic: 't', key: `k${i % 97}`, payload: { n: i } })
      })
    }
  }

  async function bytes(): Promise<number> {
    const [row] = await store.query<{ bytes: unknown }>(
      `select pg_total_relation_size('holdfast_outbox') as bytes`,
    )
    return Number(row?.bytes)
  }

  it('the table is empty, and does not grow from round to round', async () => {
    let handled = 0
    const broker = directBroker({ handle: () => handled++ })
    await using relay = createOutbox(store).relay({ broker, manual: true })
    const sizes: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      await publish(MESSAGES / ROUNDS)
      await relay.drainOnce()
      expect(await countRows(store, 'outbox')).toBe(0)
      // What autovacuum does after 2,000 dead rows, once its nap of a minute is over.
      const client = new pg.Client({ connectionString: at })
      await client.connect()
      await client.query('vacuum holdfast_outbox')
      await client.end()
      sizes.push(await bytes())
    }
    expect(handled).toBe(MESSAGES)
    // Pages of the index are free for use only after every transaction of the server that was open when they became
    // empty, those of other tests in other databases included. So some rounds still grow, and not all ten.
    expect(Math.max(...sizes), `sizes ${sizes}`).toBeLessThanOrEqual((sizes[0] as number) * (ROUNDS / 2))
    expect(await countRows(store, 'outbox_later')).toBe(0)
  })

  it('its settings ask autovacuum to come after a number of dead rows, not after a share', async () => {
    const [row] = await store.query<{ options: string[] }>(
      `select reloptions as options from pg_class where relname = 'holdfast_outbox'`,
    )
    expect(row?.options).toEqual(
      expect.arrayContaining(['autovacuum_vacuum_scale_factor=0', 'autovacuum_vacuum_threshold=2000']),
    )
  })

  it('an unrelated transaction that keeps 20,000 dead rows does not stop the relay, nor hide a message', async () => {
    await store.execute('create table unrelated (n integer)')
    const client = new pg.Client({ connectionString: at })
    await client.connect()
    await client.query('begin isolation level repeatable read')
    await client.query('insert into unrelated values (1)')
    const seen: number[] = []
    const broker = directBroker({ handle: ({ payload }) => seen.push(JSON.parse(payload).n) })
    await using relay = createOutbox(store).relay({ broker, manual: true })
    await publish(MESSAGES)
    expect(await relay.drainOnce()).toBe(MESSAGES)
    expect(await countRows(store, 'outbox')).toBe(0)
    const [dead] = await store.query<{ n: unknown }>(
      sql`select pg_relation_size('holdfast_outbox') / 8192 as n`,
    )
    expect(Number(dead?.n)).toBeGreaterThan(200)
    seen.length = 0
    await publish(1_000)
    const startedMs = performance.now()
    expect(await relay.drainOnce()).toBe(1_000)
    // A read steps over the dead rows in milliseconds; this would show it doing so for each message.
    expect(performance.now() - startedMs).toBeLessThan(5_000)
    expect(seen.length).toBe(1_000)
    await client.query('rollback')
    await client.end()
  })
})
