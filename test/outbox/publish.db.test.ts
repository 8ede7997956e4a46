import { randomUUID } from 'node:crypto'
import { PayloadError, type Store, sql } from 'holdfast'
import { createOutbox } from 'holdfast/outbox'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { directBroker } from '../../src/broker/index.ts'
import { openSqlite } from '../support/sqlite.ts'
import { storeKinds } from '../support/stores.ts'
import { until } from '../support/wait.ts'
import { countRows, openStore, useStore } from './stores.ts'

describe.each(storeKinds)('publish on %s', (kind) => {
  let store: Store
  useStore(
    kind,
    (opened) => {
      store = opened.store
    },
    { once: true },
  )

  const rowsOf = (name: string) =>
    store.query<{
      message_id: string
      topic: string
      key: string | null
      payload: string
      headers: string | null
    }>(
      sql`select message_id, topic, key, payload, headers from ${store.table('outbox')} where name = ${name} order by sequence`,
    )
  const newOutbox = (options: Parameters<typeof createOutbox>[1] = {}) =>
    createOutbox(store, { name: randomUUID(), ...options })

  it('what one transaction publishes is there after its COMMIT, in order, and not before', async () => {
    const outbox = newOutbox()
    await store.transaction(async (tx) => {
      await outbox.publish(tx, {
        topic: 'a',
        key: 'k',
        payload: { n: 1 },
        headers: { traceparent: '00-1-2-01' },
      })
      await outbox.publish(tx, { topic: 'b', payload: null, id: 'my-id' })
      const inside = await tx.query(sql`select 1 from ${store.table('outbox')} where name = ${outbox.name}`)
      expect(inside).toHaveLength(0)
    })
    const rows = await rowsOf(outbox.name)
    expect(rows).toMatchObject([
      { topic: 'a', key: 'k', payload: '{"n":1}', headers: '{"traceparent":"00-1-2-01"}' },
      { topic: 'b', key: null, payload: 'null', headers: null, message_id: 'my-id' },
    ])
  })

  it('what a transaction that rolled back published is never there', async () => {
    const outbox = newOutbox()
    const failing = store.transaction(async (tx) => {
      await outbox.publish(tx, { topic: 'a', payload: 1 })
      await outbox.publish(tx, { topic: 'a', payload: 2, deliverAfterMs: 1_000 })
      throw new Error('no')
    })
    await expect(failing).rejects.toThrow('no')
    expect(await outbox.figures()).toMatchObject({ backlog: 0, later: 0, published: 0 })
  })

  it('a nested transaction that rolled back takes its messages along', async () => {
    const outbox = newOutbox()
    await store.transaction(async (tx) => {
      await outbox.publish(tx, { topic: 'a', payload: 'outer' })
      await tx
        .transaction(async (inner) => {
          await outbox.publish(inner, { topic: 'a', payload: 'lost' })
          throw new Error('no')
        })
        .catch(() => {})
      await tx.transaction((inner) => outbox.publish(inner, { topic: 'a', payload: 'inner' }))
    })
    expect((await rowsOf(outbox.name)).map((row) => row.payload)).toEqual(['"outer"', '"inner"'])
  })

  it('keeps names and text of any script, quotes included', async () => {
    const outbox = newOutbox()
    const topic = `it's a "topic"; drop table x; -- 話題 \\ {a,b}`
    const message = {
      topic,
      key: `k'"\\,{}NULL`,
      payload: { 'a"b': "'{\\\\},NULL" },
      headers: { 'x"': '話' },
    }
    await store.transaction(async (tx) => {
      await outbox.publish(tx, message)
      await outbox.publish(tx, { ...message, key: 'NULL' })
    })
    const rows = await rowsOf(outbox.name)
    expect(rows.map((row) => row.key)).toEqual([message.key, 'NULL'])
    for (const row of rows) {
      expect(row.topic).toBe(topic)
      expect(JSON.parse(row.payload)).toEqual(message.payload)
      expect(JSON.parse(row.headers ?? '')).toEqual(message.headers)
    }
  })

  const cyclic: { self?: unknown } = {}
  cyclic.self = cyclic
  const bad: [title: string, message: object, code: string, says: RegExp][] = [
    ['a payload of 10 MB', { payload: 'x'.repeat(10_000_000) }, 'PAYLOAD_INVALID', /limit is 1048576/],
    ['a cyclic payload', { payload: cyclic }, 'PAYLOAD_INVALID', /contains itself/],
    ['a NUL in the payload', { payload: { a: ['b\0'] } }, 'PAYLOAD_INVALID', /\$\.a\[0\].*NUL/],
    ['a bigint in the payload', { payload: { a: 1n } }, 'PAYLOAD_INVALID', /\$\.a: a bigint/],
    ['no payload', { payload: undefined }, 'PAYLOAD_INVALID', /undefined has no JSON form/],
    ['a NUL in the topic', { topic: 'a\0' }, 'CONFIG_INVALID', /topic must not contain a NUL/],
    ['an empty topic', { topic: '' }, 'CONFIG_INVALID', /topic must be a non-empty string/],
    ['an empty key', { key: '' }, 'CONFIG_INVALID', /key must be a non-empty string/],
    ['a numeric key', { key: 5 }, 'CONFIG_INVALID', /key must be a non-empty string/],
    ['an unknown field', { delay: 5 }, 'CONFIG_INVALID', /unknown field "delay"/],
    ['a negative time', { deliverAfterMs: -1 }, 'CONFIG_INVALID', /deliverAfterMs must be/],
    ['a time that is no number', { deliverAfterMs: Number.NaN }, 'CONFIG_INVALID', /deliverAfterMs must be/],
    ['a header that is no string', { headers: { a: 1 } }, 'PAYLOAD_INVALID', /must be a string/],
    ['a NUL in a header', { headers: { 'a\0': 'b' } }, 'PAYLOAD_INVALID', /NUL/],
    ['an unpaired surrogate in the key', { key: '\ud800' }, 'CONFIG_INVALID', /unpaired surrogate/],
  ]
  it.each(bad)('refuses %s, and nothing of the transaction stays', async (_title, fields, code, says) => {
    const outbox = newOutbox()
    const publishing = store.transaction(async (tx) => {
      await outbox.publish(tx, { topic: 'good', payload: 1 })
      await outbox.publish(tx, { topic: 't', payload: 1, ...fields } as never)
    })
    await expect(publishing).rejects.toMatchObject({
      code,
      outcome: 'not-applied',
      message: expect.stringMatching(says),
    })
    expect(await rowsOf(outbox.name)).toHaveLength(0)
  })

  it('a refused message leaves the rest of the transaction as it was', async () => {
    const outbox = newOutbox()
    await store.transaction(async (tx) => {
      await outbox.publish(tx, { topic: 'a', payload: 1 })
      await expect(outbox.publish(tx, { topic: 'a', payload: cyclic })).rejects.toThrow(PayloadError)
    })
    expect(await rowsOf(outbox.name)).toHaveLength(1)
  })

  it('checks the payload with the schema of its topic and names the field', async () => {
    const outbox = newOutbox({
      topics: {
        'order.placed': { schema: z.object({ id: z.string(), items: z.array(z.object({ n: z.number() })) }) },
        slow: { schema: z.object({ a: z.string() }).refine(async ({ a }) => a !== 'taken') },
      },
    })
    await store.transaction(async (tx) => {
      await outbox.publish(tx, { topic: 'order.placed', payload: { id: 'a', items: [{ n: 1 }] } })
      await outbox.publish(tx, { topic: 'slow', payload: { a: 'free' } })
      const wrong = outbox.publish(tx, {
        topic: 'order.placed',
        payload: { id: 'a', items: [{ n: 'x' }] } as never,
      })
      await expect(wrong).rejects.toMatchObject({ issues: [{ path: '$.items[0].n' }] })
      await expect(outbox.publish(tx, { topic: 'slow', payload: { a: 'taken' } })).rejects.toThrow(
        PayloadError,
      )
      await expect(outbox.publish(tx, { topic: 'order.plced', payload: 1 })).rejects.toThrow(/not declared/)
    })
    expect((await rowsOf(outbox.name)).map((row) => row.topic)).toEqual(['order.placed', 'slow'])
  })

  it('refuses the transaction of another store', async () => {
    await using other = await openStore(kind)
    const outbox = createOutbox(other.store)
    const publishing = store.transaction((tx) => outbox.publish(tx, { topic: 'a', payload: 1 }))
    await expect(publishing).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: /another store/ })
  })

  it.each([2n ** 31n, 2n ** 53n])(
    'numbers from %s on are relayed and deleted like any other',
    async (from) => {
      await using fresh = await openStore(kind)
      const table = fresh.store.tableName('outbox')
      await fresh.store.execute(
        kind === 'postgres'
          ? `alter table ${table} alter column sequence restart with ${from}`
          : `insert into sqlite_sequence (name, seq) values ('${table}', ${from - 1n})`,
      )
      const outbox = createOutbox(fresh.store, { partitions: 2 })
      await fresh.store.transaction(async (tx) => {
        for (let n = 0; n < 10; n++) await outbox.publish(tx, { topic: 'a', key: 'k', payload: n })
      })
      const [last] = await fresh.store.query<{ text: string }>(
        `select cast(max(sequence) as varchar(30)) as text from ${table}`,
      )
      expect(BigInt(last?.text ?? 0)).toBe(from + 9n)
      const seen: number[] = []
      let fail = true
      await using relay = outbox.relay({
        manual: true,
        retry: { baseMs: 1, capMs: 1 },
        broker: directBroker({
          handle: ({ payload }) => {
            if (payload === '5' && fail) {
              fail = false
              throw new Error('once')
            }
            seen.push(Number(payload))
          },
        }),
      })
      while (seen.length < 10) await relay.drainOnce()
      expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      expect(await countRows(fresh.store, 'outbox')).toBe(0)
    },
  )
})

it('many publishes of one transaction are one INSERT, sent last', async () => {
  await using opened = await openStore('postgres')
  const outbox = createOutbox(opened.store)
  const texts: string[] = []
  const client = new pg.Client({ connectionString: opened.at })
  await client.connect()
  const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>
  client.query = ((...args: unknown[]) => {
    texts.push(typeof args[0] === 'string' ? args[0] : (args[0] as { text: string }).text)
    return query(...args)
  }) as never
  await client.query('begin')
  await opened.store.join(client, async (tx) => {
    for (let n = 0; n < 100; n++) await outbox.publish(tx, { topic: 'a', payload: n })
    await tx.query('select 1')
  })
  await client.query('commit')
  await client.end()
  expect(texts.map((text) => text.split(' ')[0])).toEqual(['begin', 'select', 'insert', 'commit'])
  expect(await countRows(opened.store, 'outbox')).toBe(100)
})

it('order "commit" makes a second writer of the key wait for the first, and only of that key', async () => {
  await using opened = await openStore('postgres')
  const { store } = opened
  const outbox = createOutbox(store, { topics: { a: { order: 'commit' } } })
  const first = new pg.Client({ connectionString: opened.at })
  await first.connect()
  await first.query('begin')
  await store.join(first, (tx) => outbox.publish(tx, { topic: 'a', key: 'k', payload: 'first' }))
  const second = store.transaction((tx) => outbox.publish(tx, { topic: 'a', key: 'k', payload: 'second' }))
  await store.transaction((tx) => outbox.publish(tx, { topic: 'a', key: 'other', payload: 'other' }))
  await until(
    async () =>
      (
        await store.query(
          "select 1 from pg_locks join pg_database d on d.oid = database where datname = current_database() and locktype = 'advisory' and not granted",
        )
      ).length === 1,
    { what: 'the second writer of the key to wait' },
  )
  await first.query('commit')
  await second
  await first.end()
  const rows = await store.query<{ payload: string }>(
    sql`select payload from ${store.table('outbox')} where key = 'k' order by sequence`,
  )
  expect(rows.map((row) => row.payload)).toEqual(['"first"', '"second"'])
})

it('publishSync inserts in the user’s own synchronous transaction, and committed() wakes the relay', async () => {
  await using opened = await openStore('sqlite')
  const { store } = opened
  const outbox = createOutbox(store, {
    topics: { a: {}, slow: { schema: z.string().refine(async () => true) } },
  })
  const seen: string[] = []
  await using relay = outbox.relay({
    pollMinMs: 60_000,
    pollMaxMs: 60_000,
    broker: directBroker({ handle: (message) => seen.push(message.payload) }),
  })
  await relay.drainOnce()
  const db = openSqlite(opened.at)
  db.exec('begin immediate')
  store.joinSync(db, (tx) => {
    expect(outbox.publishSync(tx, { topic: 'a', payload: 1, id: 'one' })).toEqual({ id: 'one' })
    const many = [2, 3].map((payload) => ({ topic: 'a' as const, payload }))
    expect(outbox.publishSync(tx, many)).toHaveLength(2)
    expect(() => outbox.publishSync(tx, { topic: 'slow', payload: 'x' })).toThrow(/asynchronous/)
  })
  db.exec('rollback')
  expect(await countRows(store, 'outbox')).toBe(0)
  db.exec('begin immediate')
  store.joinSync(db, (tx) => outbox.publishSync(tx, { topic: 'a', key: 'k', payload: 4 }))
  const asynchronous = store.transaction(async (tx) =>
    outbox.publishSync(tx as never, { topic: 'a', payload: 5 }),
  )
  await expect(asynchronous).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  const without = (tx?: never) => outbox.publish(tx as never, { topic: 'a', payload: 6 })
  await expect(without()).rejects.toThrow('the first argument must be the transaction')
  db.exec('commit')
  db.close()
  outbox.committed()
  await expect.poll(() => seen).toEqual(['4'])
})
