/** An order service with sagas and a kitchen that is asked by message; each has its database, outbox and consumer. */
import { type Store, sql } from 'holdfast'
import { createInbox } from 'holdfast/inbox'
import { createOutbox, type Outbox } from 'holdfast/outbox'
import { createParticipant, type StepPhase, type StepUndoneError } from 'holdfast/participant'
import { deliverReply, MESSAGE_HEADERS, type MessageCall, replyToSaga, type Saga, saga } from 'holdfast/saga'
import type { Broker } from '../../src/broker/index.ts'

export interface Topics {
  readonly orders: string
  readonly replies: string
}

export interface Order {
  readonly dish: string
  /** How long the saga waits for the kitchen. */
  readonly patienceMs?: number
  /** Fails after the kitchen has answered. */
  readonly fails?: boolean
}

/** Asks the kitchen, which answers with a number of the table's. */
export function orderSaga(outbox: Outbox, topics: Topics): Saga<Order, number> {
  return saga('order', async (s, { dish, patienceMs, fails = false }) => {
    const reply: MessageCall<{ number: number }>['reply'] = {
      schema: { '~standard': { version: 1, vendor: 'test', validate: hasNumber } },
      ...(patienceMs !== undefined && { timeoutMs: patienceMs }),
    }
    const { number } = await s.message('cook', {
      outbox,
      topic: topics.orders,
      payload: { dish },
      reply,
      undo: { payload: { dish } },
    })
    if (fails) throw new Error('the guest has left')
    return number
  })
}

function hasNumber(value: unknown) {
  const { number } = (value ?? {}) as { number?: unknown }
  return typeof number === 'number'
    ? { value: { number } }
    : { issues: [{ message: 'a number is missing', path: ['number'] }] }
}

/** Hands replies to their sagas. Says what it was told: false for a saga that has ended. */
export function receiveReplies(store: Store, broker: Broker, topics: Topics, group = 'orders') {
  const delivered: boolean[] = []
  const consumer = createInbox(store).consumer({
    broker,
    topic: topics.replies,
    group,
    handler: async (tx, message) => void delivered.push(await deliverReply(tx, message)),
  })
  return Object.assign(consumer, { delivered })
}

export interface KitchenOptions {
  /** How often each reply is published, each time as a message of its own. */
  readonly replies?: number
  /** What it answers with. */
  readonly answer?: (dish: string) => unknown
}

/** Cooks behind the barrier and replies in the same transaction. An undo throws away, or leaves its mark. */
export function kitchen(
  store: Store,
  broker: Broker,
  topics: Topics,
  { replies = 1, answer = (dish) => ({ number: dish.length }) }: KitchenOptions = {},
) {
  const outbox = createOutbox(store)
  const participant = createParticipant(store, { name: 'kitchen' })
  const relay = outbox.relay({ broker })
  const consumer = createInbox(store).consumer({
    broker,
    topic: topics.orders,
    group: 'kitchen',
    handler: async (tx, message) => {
      const { headers } = message
      const { dish } = message.payload as { dish: string }
      const call = {
        saga: headers[MESSAGE_HEADERS.saga] as string,
        step: headers[MESSAGE_HEADERS.step] as string,
        phase: headers[MESSAGE_HEADERS.phase] as StepPhase,
        epoch: BigInt(headers[MESSAGE_HEADERS.epoch] as string),
      }
      try {
        await participant.run(tx, call, async () => {
          await tx.execute(
            sql`insert into effects (saga, what) values (${call.saga}, ${`${call.phase} ${dish}`})`,
          )
        })
      } catch (error) {
        if ((error as StepUndoneError).code === 'STEP_UNDONE') return // it comes after its undo
        throw error
      }
      if (call.phase !== 'do') return
      for (let i = 0; i < replies; i++)
        await replyToSaga(tx, outbox, message, { topic: topics.replies, payload: answer(dish) })
    },
  })
  return {
    consumer,
    async [Symbol.asyncDispose]() {
      await consumer.stop()
      await relay.stop()
    },
  }
}
