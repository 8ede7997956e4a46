/** What a NATS subscription does when deliveries are lost or repeated, on a server played by the test. */
import { describe, expect, it } from 'vitest'
import type { Delivery } from '../../src/broker/index.ts'
import { natsNames } from '../../src/broker/nats/names.ts'
import type { NatsConsumerInfo, NatsMessageLike } from '../../src/broker/nats/nats-client.ts'
import { NatsSubscription } from '../../src/broker/nats/subscription.ts'
import { silentLog, systemClock } from '../../src/core/index.ts'
import { until } from '../support/wait.ts'

describe('a NATS subscription', () => {
  it('starts again, after what was settled, when a delivery was lost on the way', async () => {
    const server = play()
    const { got } = await subscribe(server)
    server.send({ seq: 11, dseq: 1 })
    server.send({ seq: 15, dseq: 2 })
    got[0]?.ack()
    server.send({ seq: 19, dseq: 4 }) // 3 carried the message at 17
    await until(() => server.made.length === 2)
    expect(server.made[1]).toMatchObject({ deliver_policy: 'by_start_sequence', opt_start_seq: 15 })
    await until(() => server.listening === 2)
    for (const [i, seq] of [15, 17, 19].entries()) server.send({ seq, dseq: i + 1 })
    expect(got.map((d) => d.message.id)).toEqual(['11', '15', '17', '19'])
    expect(server.consumers.length).toBe(1)
    got[1]?.ack() // handed out by the first consumer, acknowledged at the second
    expect(server.acked).toEqual(['11/1', '15/2'])
  })

  it('does not hand out again what is in hand, and acknowledges again what was', async () => {
    const server = play()
    const { got } = await subscribe(server)
    server.send({ seq: 1, dseq: 1 })
    server.send({ seq: 2, dseq: 2 })
    got[0]?.ack()
    server.send({ seq: 1, dseq: 3 })
    server.send({ seq: 2, dseq: 4 })
    expect(got.length).toBe(2)
    expect(server.acked).toEqual(['1/1', '1/1'])
    got[1]?.release()
    got[1]?.ack()
    expect(server.acked.length).toBe(2)
  })

  it('takes over behind what its predecessor acknowledged, and deletes all older consumers', async () => {
    const server = play()
    server.consumers.push(
      { name: 'g_0_aa', created: '2026-01-01T00:00:00.1Z', ...at(3, 9) },
      { name: 'g_0_bb', created: '2026-01-01T00:00:00.12Z', ...at(7, 9) },
      { name: 'g_1_cc', created: '2026-01-02T00:00:00Z', ...at(100, 100) },
    )
    const { got } = await subscribe(server)
    expect(server.made[0]).toMatchObject({ opt_start_seq: 8 })
    expect(server.consumers.map((c) => c.name)).toEqual(['g_1_cc', expect.stringMatching(/^g_0_/)])
    server.send({ seq: 9, dseq: 1 })
    server.send({ seq: 10, dseq: 2 })
    expect(got.map((d) => d.redelivered)).toEqual([true, false])
  })

  it('is over when another subscriber has deleted its consumer', async () => {
    const server = play()
    const { subscription, got } = await subscribe(server)
    server.consumers.splice(0, 1, { name: 'g_0_dd', created: '2026-01-02T00:00:00Z', ...at(0, 0) })
    server.end()
    await expect(subscription.done).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' })
    server.send({ seq: 1, dseq: 1 })
    expect(got).toEqual([])
  })
})

function at(acknowledged: number, delivered: number) {
  return { ack_floor: { stream_seq: acknowledged }, delivered: { stream_seq: delivered } }
}

/** Stands for the server: keeps the consumers, and sends what the test says to the newest one. */
function play() {
  let callback: (message: NatsMessageLike) => void = () => {}
  let end = (): void => {}
  const server = {
    consumers: [] as NatsConsumerInfo[],
    made: [] as Record<string, unknown>[],
    listening: 0,
    /** `stream sequence/number of the consumer`. */
    acked: [] as string[],
    end: () => end(),
    send({ seq, dseq }: { seq: number; dseq: number }) {
      const consumer = server.made.length
      callback({
        redelivered: false,
        info: { streamSequence: seq, deliverySequence: dseq },
        headers: {
          set: () => {},
          get: () => JSON.stringify({ id: String(seq), key: null, headers: {}, publishedAtMs: 0 }),
        },
        string: () => '{}',
        ackAck: async () => server.acked.push(`${seq}/${consumer}`) > 0,
      })
    },
    manager: {
      streams: { info: async () => ({}), add: async () => ({}) },
      consumers: {
        add: async (_stream: string, config: { durable_name: string }) => {
          server.made.push(config)
          server.consumers.push({
            name: config.durable_name,
            created: `2026-01-01T00:00:0${server.made.length}Z`,
            ...at(0, 0),
          })
        },
        delete: async (_stream: string, name: string) => {
          server.consumers = server.consumers.filter((c) => c.name !== name)
          return true
        },
        async *list() {
          yield* server.consumers
        },
      },
    },
    jetstream: {
      publish: async () => ({ duplicate: false }),
      jetstreamManager: async () => server.manager,
      consumers: {
        get: async () => ({
          consume: async (options: { callback: (message: NatsMessageLike) => void }) => {
            callback = options.callback
            server.listening++
            const closed = new Promise<void>((resolve) => {
              end = resolve
            })
            return { close: async () => end(), closed: () => closed }
          },
        }),
      },
    },
  }
  return server
}

async function subscribe(server: ReturnType<typeof play>) {
  const got: Delivery[] = []
  const subscription = new NatsSubscription(
    { topic: 't', group: 'g', partition: 0, prefetch: 10 },
    {
      jetstream: server.jetstream,
      manager: server.manager,
      names: natsNames('holdfast'),
      ackWaitMs: 1_000,
      clock: systemClock,
      log: silentLog,
      onClose: () => {},
    },
    (delivery) => got.push(delivery),
  )
  await subscription.start()
  return { subscription, got }
}
