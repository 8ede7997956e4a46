import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeName } from '../../src/broker/names.ts'
import { natsNames } from '../../src/broker/nats/names.ts'
import { partitionOf } from '../../src/broker/partition.ts'
import { rabbitNames } from '../../src/broker/rabbitmq/names.ts'

const name = fc.oneof(
  fc.string({ minLength: 1, maxLength: 200, unit: 'grapheme' }),
  fc.stringMatching(/^[a.:_=~ 1-3]{1,6}$/),
)

describe('names on the server', () => {
  it('are never the same for two topics, groups or partitions', () => {
    const rabbit = rabbitNames('holdfast')
    const nats = natsNames('holdfast')
    const place = fc.tuple(name, name, fc.nat(20))
    fc.assert(
      fc.property(place, place, ([t1, g1, p1], [t2, g2, p2]) => {
        const same = t1 === t2 && g1 === g2 && p1 === p2
        expect(rabbit.queue(t1, g1, p1) === rabbit.queue(t2, g2, p2)).toBe(same)
        expect(rabbit.exchange(t1) === rabbit.exchange(t2)).toBe(t1 === t2)
        expect(nats.subject(t1, p1) === nats.subject(t2, p2)).toBe(t1 === t2 && p1 === p2)
        expect(nats.isConsumerOf(nats.consumer(g1, p1, '0a'), g2, p2)).toBe(g1 === g2 && p1 === p2)
      }),
    )
  })

  it('fit what the servers take', () => {
    const rabbit = rabbitNames('p'.repeat(40))
    const nats = natsNames('p'.repeat(40))
    fc.assert(
      fc.property(name, name, (topic, group) => {
        expect(Buffer.byteLength(rabbit.queue(topic, group, 999))).toBeLessThanOrEqual(255)
        expect(nats.stream(topic)).toMatch(/^[A-Za-z0-9_=~-]{1,255}$/)
        expect(nats.consumer(group, 999, 'a'.repeat(16))).toMatch(/^[A-Za-z0-9_=~-]{1,255}$/)
      }),
    )
  })

  it('never change, since servers hold them', () => {
    expect(encodeName('order placed/ü~', 100)).toBe('order=20placed=2F=C3=BC=7E')
    expect(encodeName('x'.repeat(50), 45)).toBe('xxxx~77cf12060d47183ea8c40345e7389e7e05cb0753')
    expect(['a', 'order-17', 'ü', ''].map((key) => partitionOf(key, 8))).toEqual([4, 6, 5, 5])
  })
})
