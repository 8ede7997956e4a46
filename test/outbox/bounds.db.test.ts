/** What keeps a relay's memory and its partitions within bounds. */
import { type Store, sql } from 'holdfast'
import { directBroker, type Message } from 'holdfast/broker'
import { createOutbox, type Outbox, type RelayOptions } from 'holdfast/outbox'
import { describe, expect, it } from 'vitest'
import { storeKinds } from '../support/stores.ts'
import { until } from '../support/wait.ts'
import { countRows, useStore } from './stores.ts'

describe.each(storeKinds)('bounds of a relay on %s', (kind) => {
  let store: Store
  useStore(kind, (opened) => {
    store = opened.store
  })

  const relayOf = (outbox: Outbox, handle: (message: Message) => unknown, more: Partial<RelayOptions> = {}) =>
    outbox.relay({ broker: directBroker({ handle }), manual: true, ...more })

  it('large payloads are published few at a time, whole and in order', async () => {
    const outbox = createOutbox(store, { partitions: 2 })
    const text = 'ä'.repeat(450_000)
    for (let n = 0; n < 30; n++) {
      await store.transaction(async (tx) => {
        await outbox.publish(tx, { topic: 't', key: `k${n % 3}`, payload: { n, text } })
        await outbox.publish(tx, { topic: 't', key: `k${n % 3}`, payload: { n: n + 0.5 } })
      })
    }
    const seen = new Map<string, number[]>()
    let most = 0
    const direct = directBroker({
      handle: ({ key, payload }) => {
        const { n, text: got } = JSON.parse(payload)
        if (Number.isInteger(n)) expect(got).toBe(text)
        seen.set(key as string, [...(seen.get(key as string) ?? []), n])
      },
    })
    await using relay = outbox.relay({
      manual: true,
      broker: {
        ...direct,
        publish: (batch, options) => {
          const bytes = batch.reduce((sum, { payload }) => sum + Buffer.byteLength(payload), 0)
          most = Math.max(most, bytes)
          return direct.publish(batch, options)
        },
      },
    })
    expect(await relay.drainOnce()).toBe(60)
    for (const numbers of seen.values()) expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
    // Eight MiB of large ones in a read, and some small ones.
    expect(most).toBeGreaterThan(2_000_000)
    expect(most).toBeLessThan(9_000_000)
    expect(await countRows(store, 'outbox')).toBe(0)
  })

  it('a relay that was told another number of partitions is refused while the outbox is in use', async () => {
    const eight = createOutbox(store, { partitions: 8 })
    const four = createOutbox(store, { partitions: 4 })
    const first = eight.relay({ broker: directBroker({ handle: () => {} }) })
    await first.drainOnce()
    const refused = four.relay({ broker: directBroker({ handle: () => {} }) })
    await expect(refused.done).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: /has 8 partitions, and this process was told 4/,
    })
    await refused.stop()
    await first.stop()

    await store.transaction((tx) => eight.publish(tx, { topic: 't', payload: 1, deliverAfterMs: 50 }))
    await expect(relayOf(four, () => {}).drainOnce()).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    await using drain = relayOf(eight, () => {})
    await until(async () => (await drain.drainOnce()) > 0)

    // Empty, and no relay holds anything: the number may change.
    const seen: unknown[] = []
    await using changed = relayOf(four, ({ payload }) => seen.push(payload))
    await store.transaction((tx) => four.publish(tx, { topic: 't', key: 'k', payload: 2 }))
    // Not empty any more, but the change was not made yet.
    await expect(changed.drainOnce()).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    await store.execute(sql`delete from ${store.table('outbox')}`)
    expect(await changed.drainOnce()).toBe(0)
    await store.transaction((tx) => four.publish(tx, { topic: 't', key: 'k', payload: 3 }))
    expect(await changed.drainOnce()).toBe(1)
    await expect(relayOf(eight, () => {}).drainOnce()).resolves.toBe(0)
  })
})
