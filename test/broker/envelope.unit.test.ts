import { describe, expect, it } from 'vitest'
import { fromNats } from '../../src/broker/nats/envelope.ts'
import type { NatsMessageLike } from '../../src/broker/nats/nats-client.ts'
import { fromDelivery } from '../../src/broker/rabbitmq/envelope.ts'

/** A subscription that failed over such a message would get it again, and never what stands behind it. */
describe('a message that no Holdfast wrote', () => {
  const unnamed = { id: '', topic: 't', key: null, headers: {}, publishedAtMs: 0 }

  it('comes from RabbitMQ with its text and without an id', () => {
    expect(fromDelivery({ body: Buffer.from('hello') }, 't')).toEqual({ ...unnamed, payload: 'hello' })
    expect(fromDelivery({ body: { a: 1 }, headers: { 'holdfast-headers': '{' } }, 't')).toEqual({
      ...unnamed,
      payload: '{"a":1}',
    })
    expect(fromDelivery({ body: '1', headers: { 'holdfast-headers': 'null' } }, 't')).toEqual({
      ...unnamed,
      payload: '1',
    })
  })

  it('comes from NATS with its text and without an id', () => {
    for (const header of [undefined, '', '{', 'null', '7']) {
      const message = { string: () => 'hello', headers: { get: () => header } } as unknown as NatsMessageLike
      expect(fromNats(message, 't')).toEqual({ ...unnamed, payload: 'hello' })
    }
    expect(fromNats({ string: () => 'hello' } as NatsMessageLike, 't')).toEqual({
      ...unnamed,
      payload: 'hello',
    })
  })
})
