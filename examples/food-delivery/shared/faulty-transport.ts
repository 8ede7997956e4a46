import type { Broker } from 'holdfast/broker'
import { faultyBroker } from 'holdfast/testing'
import type { FaultRates, FaultReport } from './faults.ts'
import { chance } from './random.ts'

/**
 * The broker as both versions see it: messages come twice, late and out of order.
 *
 * What happens to a message follows from the seed and from what the message says, not from when it comes: the same
 * order meets the same faults in both runs and after a restart.
 */
export function faultyTransport(
  broker: Broker,
  rates: FaultRates,
  seed: number,
  report: (fault: FaultReport) => void,
): Broker {
  let subject = ''
  let draws = 0
  let publishes = 0
  const about = (message: { topic: string; key: string | null; payload: string }, where: string): void => {
    // The part of the id before the dot is the customer's own number of the order.
    subject = `${where}/${message.topic}/${message.key?.split('.')[0]}/${/"kind":"([^"]*)"/.exec(message.payload)?.[1]}`
    draws = 0
  }
  const marking: Broker = {
    name: broker.name,
    partitions: broker.partitions,
    async publish(batch, options) {
      const results = await broker.publish(batch, options)
      // By number, since a repeated publish must have another chance.
      if (batch[0] !== undefined) about(batch[0], `publish ${publishes++}`)
      return results
    },
    subscribe: (subscription, deliver) =>
      broker.subscribe(subscription, (delivery) => {
        about(delivery.message, subscription.group)
        deliver(delivery)
      }),
    close: () => broker.close(),
    [Symbol.asyncDispose]: () => broker.close(),
  }
  return faultyBroker(marking, {
    duplicate: rates.duplicate,
    delay: rates.delay,
    delayMaxMs: rates.delayMaxMs,
    reorder: rates.reorder,
    loseAnswer: rates.loseBrokerAnswer,
    random: () => chance(seed, subject, draws++),
    onFault: ({ kind, message }) => {
      if (kind !== 'lose') report({ kind, detail: `${message.topic} ${message.key?.split('.')[0]}` })
    },
  })
}
