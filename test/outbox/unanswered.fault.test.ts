import type { Store } from 'holdfast'
import { type Broker, directBroker, type Message } from 'holdfast/broker'
import { createOutbox, deadLetters, type Outbox } from 'holdfast/outbox'
import { describe, expect, it } from 'vitest'
import { storeKinds } from '../support/stores.ts'
import { until } from '../support/wait.ts'
import { countRows, useStore } from './stores.ts'

describe.each(storeKinds)('messages without an answer on %s', (kind) => {
  let store: Store
  useStore(kind, (opened) => {
    store = opened.store
  })

  /** Gives no answer for a whole batch when `silent` says so of any of its messages, as a broken link does. */
  const silentBroker = (
    handle: (message: Message) => unknown,
    silent: (message: Message) => boolean,
  ): Broker => {
    const direct = directBroker({ handle })
    return {
      ...direct,
      publish: async (batch, options) =>
        batch.some(silent)
          ? batch.map(() => ({ kind: 'unknown', error: new Error('the link broke') }))
          : direct.publish(batch, options),
    }
  }

  it.each(['k1', null])(
    'a message (key %s) that never gets an answer becomes a dead letter while others go through',
    async (key) => {
      const outbox = createOutbox(store, { partitions: 1 })
      const publish = (n: number, of: string | null = `k${n % 3}`) =>
        publishTo(outbox, { key: of, payload: n })
      for (let n = 0; n < 20; n++) await publish(n, n === 10 ? key : undefined)
      const seen: number[] = []
      await using relay = outbox.relay({
        broker: silentBroker(
          ({ payload }) => seen.push(Number(payload)),
          ({ payload }) => payload === '10',
        ),
        retry: { baseMs: 1, capMs: 2, attemptsMax: 3 },
      })
      let next = 20
      await until(
        async () => {
          await publish(next++)
          return relay.figures().deadLetters === 1
        },
        { deadlineMs: 20_000 },
      )
      await until(async () => (await countRows(store, 'outbox')) === 0)
      expect(await deadLetters(store).list()).toMatchObject([{ payload: '10', attempts: 3 }])
      const expected = Array.from({ length: next }, (_, n) => n).filter((n) => n !== 10)
      expect([...seen].sort((a, b) => a - b)).toEqual(expected)
      for (const k of [0, 1, 2]) {
        const ofKey = seen.filter((n) => n % 3 === k)
        expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b))
      }
    },
  )

  it('an outage without answers makes no dead letter, though one attempt is all that is allowed', async () => {
    const outbox = createOutbox(store, { partitions: 1 })
    for (let n = 0; n < 4; n++) await publishTo(outbox, { key: `k${n % 2}`, payload: n })
    const seen: number[] = []
    let publishes = 0
    await using relay = outbox.relay({
      broker: silentBroker(
        ({ payload }) => seen.push(Number(payload)),
        () => publishes++ < 7,
      ),
      retry: { attemptsMax: 1 },
    })
    await until(() => seen.length === 4, { deadlineMs: 20_000 })
    expect(relay.figures()).toMatchObject({ deadLetters: 0, retries: 0 })
  })

  function publishTo(outbox: Outbox, message: { key: string | null; payload: unknown }) {
    return store.transaction((tx) => outbox.publish(tx, { topic: 't', ...message }))
  }
})
