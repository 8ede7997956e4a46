import { randomUUID } from 'node:crypto'
import type { Broker, Delivery, Message, SubscribeOptions, Subscription } from '../broker/index.ts'
import { BrokerUnavailableError, partitionOf } from '../broker/index.ts'
import { checkArguments, checkOptions, isCount, isName, isObject, optionsOf } from '../core/options.ts'

/** A broker in the memory of this process, for tests: nothing survives the process. */
export interface MemoryBroker extends Broker {
  /** Every message stored so far, in order of arrival. */
  readonly messages: readonly Message[]
  /** Messages of `topic` that `group` has not acknowledged. */
  unsettled(topic: string, group: string): number
}

interface Cursor {
  readonly settled: Set<number>
  readonly deliveredBefore: Set<number>
  /** The subscriber that is served; the newest one takes the partition over. */
  serve: (() => void) | undefined
}

export function memoryBroker(
  options: { readonly partitions?: number; readonly name?: string } = {},
): MemoryBroker {
  const { partitions = 8, name = 'memory' } = optionsOf('memoryBroker', options)
  checkOptions(
    'memoryBroker',
    options,
    ['partitions', 'name'],
    [isCount('partitions', partitions, 1, 1024), isName('name', name)],
  )
  const messages: Message[] = []
  const logs = new Map<string, Message[]>()
  const cursors = new Map<string, Cursor>()
  const open = new Set<Subscription>()
  let closed = false

  const broker: MemoryBroker = {
    name,
    partitions,
    messages,

    unsettled(topic, group) {
      checkArguments('memoryBroker.unsettled', isName('topic', topic), isName('group', group))
      let count = 0
      for (let p = 0; p < partitions; p++) {
        count += log(topic, p).length - (cursors.get(cursorKey(topic, p, group))?.settled.size ?? 0)
      }
      return count
    },

    async publish(batch, { signal }) {
      if (signal.aborted) throw signal.reason
      if (closed) throw new BrokerUnavailableError(name)
      const touched = new Set<string>()
      for (const message of batch) {
        const partition = partitionOf(message.key ?? message.id, partitions)
        messages.push(message)
        log(message.topic, partition).push(message)
        touched.add(`${partition}/${message.topic}`)
      }
      setImmediate(() => {
        for (const [key, cursor] of cursors)
          if (touched.has(key.slice(0, key.lastIndexOf('\0')))) cursor.serve?.()
      })
      return batch.map(() => ({ kind: 'stored' as const }))
    },

    async subscribe(subscription, deliver) {
      if (closed) throw new BrokerUnavailableError(name)
      return serve(subscription, deliver)
    },

    async close() {
      closed = true
      await Promise.all([...open].map((s) => s.close()))
    },
    [Symbol.asyncDispose]: () => broker.close(),
  }
  return broker

  function log(topic: string, partition: number): Message[] {
    const key = `${partition}/${topic}`
    const found = logs.get(key) ?? []
    logs.set(key, found)
    return found
  }

  function cursorKey(topic: string, partition: number, group: string): string {
    return `${partition}/${topic}\0${group}`
  }

  function serve(
    { topic, group, partition, prefetch, from = 'earliest' }: SubscribeOptions,
    deliver: (delivery: Delivery) => void,
  ): Subscription {
    const stored = log(topic, partition)
    const key = cursorKey(topic, partition, group)
    let cursor = cursors.get(key)
    if (cursor === undefined) {
      const settled = new Set(from === 'latest' ? stored.keys() : [])
      cursor = { settled, deliveredBefore: new Set(), serve: undefined }
      cursors.set(key, cursor)
    }
    const { settled, deliveredBefore } = cursor
    const inHand = new Set<number>()
    let next = 0
    let ended = false
    let end!: () => void
    const done = new Promise<void>((resolve) => {
      end = resolve
    })

    const pump = (): void => {
      while (!ended && inHand.size < prefetch && next < stored.length) {
        const position = next++
        if (settled.has(position) || inHand.has(position)) continue
        inHand.add(position)
        const redelivered = deliveredBefore.has(position)
        deliveredBefore.add(position)
        deliver({
          message: stored[position] as Message,
          redelivered,
          ack: () => settle(position, true),
          release: () => settle(position, false),
        })
      }
    }
    const settle = (position: number, handled: boolean): void => {
      if (ended || !inHand.delete(position)) return
      if (handled) settled.add(position)
      else next = Math.min(next, position)
      setImmediate(pump)
    }
    cursor.serve = pump
    setImmediate(pump)
    const subscription: Subscription = {
      done,
      async close() {
        ended = true
        if (cursor.serve === pump) cursor.serve = undefined
        open.delete(subscription)
        end()
      },
    }
    open.add(subscription)
    return subscription
  }
}

/** A message with defaults for what a test does not care about. */
export function testMessage(
  message: Partial<Omit<Message, 'payload'>> & { payload?: unknown } = {},
): Message {
  checkArguments('testMessage', isObject('message', message))
  return {
    id: randomUUID(),
    topic: 'test',
    key: null,
    headers: {},
    publishedAtMs: 0,
    ...message,
    payload: JSON.stringify(message.payload ?? {}),
  }
}
