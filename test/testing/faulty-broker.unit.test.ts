import type { Broker, Delivery } from 'holdfast/broker'
import {
  type Fault,
  type FaultyBrokerOptions,
  faultyBroker,
  memoryBroker,
  testMessage,
} from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import { until } from '../support/wait.ts'

const messages = Array.from({ length: 60 }, (_, i) =>
  testMessage({ id: `m${i}`, topic: 't', key: `k${i % 3}` }),
)

async function deliver(options: FaultyBrokerOptions, count: number) {
  await using inner = memoryBroker({ partitions: 1 })
  const faults: Fault[] = []
  const broker: Broker = faultyBroker(inner, {
    delayMaxMs: 5,
    onFault: (fault) => faults.push(fault),
    ...options,
  })
  const results = await broker.publish(messages, { signal: AbortSignal.timeout(1_000) })
  const deliveries: Delivery[] = []
  const subscription = await broker.subscribe(
    { topic: 't', group: 'g', partition: 0, prefetch: 1_000 },
    (delivery) => {
      deliveries.push(delivery)
      delivery.ack()
    },
  )
  await until(() => deliveries.length >= count)
  await subscription.close()
  return {
    ids: deliveries.map((d) => d.message.id),
    deliveries,
    results,
    faults,
    unsettled: inner.unsettled('t', 'g'),
  }
}

/** Of each key, the ids in the order in which each was first delivered. */
function firstPerKey(ids: readonly string[]): string[][] {
  const unique = [...new Set(ids)]
  return [0, 1, 2].map((k) => unique.filter((id) => Number(id.slice(1)) % 3 === k))
}
const inOrder = firstPerKey(messages.map((m) => m.id))

describe('faultyBroker', () => {
  it('changes nothing when no fault is asked for', async () => {
    const { ids, faults, unsettled } = await deliver({}, 60)
    expect(ids).toEqual(messages.map((m) => m.id))
    expect(faults).toEqual([])
    expect(unsettled).toBe(0)
  })

  it('delivers twice, the copy marked and later', async () => {
    const { ids, deliveries, unsettled } = await deliver({ duplicate: 1 }, 120)
    expect(ids.slice().sort()).toEqual([...messages, ...messages].map((m) => m.id).sort())
    expect(deliveries.filter((d) => d.redelivered)).toHaveLength(60)
    expect(firstPerKey(ids)).toEqual(inOrder)
    expect(unsettled).toBe(0)
  })

  it('delays, and overtakes between keys only', async () => {
    const { ids, faults } = await deliver({ delay: 0.3, reorder: 0.3 }, 60)
    expect(ids).not.toEqual(messages.map((m) => m.id))
    expect(firstPerKey(ids)).toEqual(inOrder)
    expect(new Set(faults.map((f) => f.kind))).toEqual(new Set(['delay', 'reorder']))
  })

  it('overtakes within a key when told to', async () => {
    const { ids } = await deliver({ reorder: 0.5, reorderWithin: 'all' }, 60)
    expect(firstPerKey(ids)).not.toEqual(inOrder)
  })

  it('loses answers, never one of a key before one that it tells', async () => {
    const { ids, results } = await deliver({ loseAnswer: 0.1 }, 60)
    expect(ids).toHaveLength(60)
    expect(results.some((r) => r.kind === 'unknown')).toBe(true)
    for (let k = 0; k < 3; k++) {
      const kinds = results.filter((_, i) => i % 3 === k).map((r) => r.kind)
      expect(kinds.slice(kinds.indexOf('unknown')).includes('stored')).toBe(!kinds.includes('unknown'))
    }
  })

  it('loses messages only when told to', async () => {
    const { ids, results } = await deliver({ lose: 0.5 }, 10)
    expect(results.every((r) => r.kind === 'stored')).toBe(true)
    expect(ids.length).toBeLessThan(60)
  })

  it('makes the same choices for the same seed', async () => {
    const faults = async (seed: number) =>
      (await deliver({ seed, delay: 0.2 }, 60)).faults.map((f) => [f.kind, f.message.id, f.byMs])
    expect(await faults(3)).toEqual(await faults(3))
    expect(await faults(3)).not.toEqual(await faults(4))
  })

  it.each([
    [{ duplicate: 2 }, 'duplicate'],
    [{ lose: -0.1 }, 'lose'],
    [{ delayMaxMs: -1 }, 'delayMaxMs'],
    [{ reorderWithin: 'topics' }, 'reorderWithin'],
    [{ drop: 1 }, 'drop'],
  ])('refuses the options %j', (options, text) => {
    expect(() => faultyBroker(memoryBroker(), options as FaultyBrokerOptions)).toThrow(text)
  })
})
