import { type Store, sql } from 'holdfast'
import { directBroker } from 'holdfast/broker'
import { createOutbox, deadLetters, putDeadLetter } from 'holdfast/outbox'
import { describe, expect, it } from 'vitest'
import { storeKinds } from '../support/stores.ts'
import { useStore } from './stores.ts'

describe.each(storeKinds)('dead letters on %s', (kind) => {
  let store: Store
  useStore(kind, (opened) => {
    store = opened.store
  })

  const put = (source: string, id: string, key: string | null = 'k', topic = 't') =>
    store.transaction((tx) =>
      putDeadLetter(tx, {
        source,
        partition: 0,
        attempts: 5,
        error: new Error(`no ${id}`, { cause: new Error('deep') }),
        message: { id, topic, key, payload: JSON.stringify(id), headers: { h: 'v' }, publishedAtMs: 7 },
      }),
    )

  it('are listed oldest first, by source, topic, key, age and id', async () => {
    const letters = deadLetters(store)
    const a = await put('outbox/default', 'a')
    await put('inbox/g', 'b', null)
    await put('outbox/default', 'c', `it's "k2"`, 'u')
    await store.execute(
      sql`update ${store.table('dead_letter')} set failed_at_ms = failed_at_ms - 60000 where id = ${a}`,
    )
    const ids = async (filter?: Parameters<typeof letters.list>[0]) =>
      (await letters.list(filter)).map((letter) => letter.messageId)
    expect((await ids())[0]).toBe('a')
    expect(await ids({ source: 'inbox/g' })).toEqual(['b'])
    expect(await ids({ topic: 'u' })).toEqual(['c'])
    expect(await ids({ key: `it's "k2"` })).toEqual(['c'])
    expect(await ids({ olderThanMs: 30_000 })).toEqual(['a'])
    expect(await ids({ limit: 1 })).toEqual(['a'])
    expect(await ids({ ids: [a, 'none'] })).toEqual(['a'])
    expect(await letters.show(a)).toMatchObject({
      headers: { h: 'v' },
      reason: 'Error: no a',
      stack: expect.stringContaining('caused by Error: deep'),
      publishedAtMs: 7,
      attempts: 5,
    })
    expect(await letters.show('none')).toBeUndefined()
  })

  it('that fail again at once are not retried a second time by the same call', async () => {
    for (let i = 0; i < 501; i++) await put('inbox/g', `m${i}`)
    let transactions = 0
    const failing: Store = {
      ...store,
      async transaction(work, options) {
        if (++transactions > 9) throw new Error('retried without end')
        const result = await store.transaction(work, options)
        await store.execute(sql`update ${store.table('dead_letter')} set retry_requested = 0`)
        return result
      },
    }
    expect(await deadLetters(failing).retry({ source: 'inbox/g' })).toEqual({ count: 501 })
  })

  it('of an outbox that were put there without a time of publishing go back with one', async () => {
    await store.transaction((tx) =>
      putDeadLetter(tx, {
        source: 'outbox/default',
        partition: 0,
        attempts: 1,
        error: 'by hand',
        message: { id: 'm', topic: 't', key: null, payload: '1', headers: {}, publishedAtMs: null },
      }),
    )
    expect(await deadLetters(store).retry({})).toEqual({ count: 1 })
    expect(await store.query(sql`select message_id from ${store.table('outbox')}`)).toEqual([
      { message_id: 'm' },
    ])
  })

  it('of an outbox go back into it and are relayed; of an inbox are marked for its consumer', async () => {
    const letters = deadLetters(store)
    for (let i = 0; i < 3; i++) await put('outbox/default', `m${i}`)
    await put('inbox/g', 'other')
    expect(await letters.retry({ olderThanMs: 0 }, { dryRun: true })).toEqual({ count: 4 })
    expect(await letters.list()).toHaveLength(4)
    expect(await letters.retry({ olderThanMs: 0 })).toEqual({ count: 4 })
    expect(await letters.retry({ olderThanMs: 0 })).toEqual({ count: 0 })
    expect(await letters.list()).toMatchObject([{ messageId: 'other', retryRequested: true }])
    const seen: string[] = []
    const outbox = createOutbox(store)
    const broker = directBroker({ handle: ({ id, headers }) => seen.push(`${id}${headers.h}`) })
    await using relay = outbox.relay({ broker, manual: true })
    await relay.drainOnce()
    expect([...seen].sort()).toEqual(['m0v', 'm1v', 'm2v'])
  })

  it('can be purged in bounded batches; an empty filter is refused', async () => {
    const letters = deadLetters(store)
    await store.transaction(async (tx) => {
      for (let i = 0; i < 1_100; i++) {
        await putDeadLetter(tx, {
          source: 'inbox/g',
          attempts: 1,
          error: 'text',
          message: { id: `${i}`, topic: 't', key: null, payload: '1', headers: {}, publishedAtMs: null },
        })
      }
    })
    await expect(letters.purge({})).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    await expect(letters.purge({ olderThan: 5 } as never)).rejects.toThrow(/unknown option "olderThan"/)
    await expect(letters.list({ olderThanMs: -1 })).rejects.toThrow(/olderThanMs/)
    expect(await letters.purge({ topic: 't', limit: 50 })).toEqual({ count: 50 })
    expect(await letters.purge({ topic: 't' }, { dryRun: true })).toEqual({ count: 1_050 })
    expect(await letters.purge({ topic: 't' })).toEqual({ count: 1_050 })
    expect(await letters.list()).toEqual([])
  })
})
