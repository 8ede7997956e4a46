import { type Broker, BrokerUnavailableError, type Delivery } from 'holdfast/broker'

/** A broker that a site can be cut off from: it can send nothing, and what comes waits until it is healed. */
export interface Gate {
  readonly broker: Broker
  cut(): void
  heal(): void
  readonly isCut: boolean
}

export function gate(inner: Broker): Gate {
  let isCut = false
  let waiting: (() => void)[] = []
  return {
    broker: {
      name: inner.name,
      partitions: inner.partitions,
      publish: async (batch, options) => {
        if (isCut) throw new BrokerUnavailableError(inner.name, { cause: 'cut off' })
        return inner.publish(batch, options)
      },
      subscribe: (subscription, deliver) =>
        inner.subscribe(subscription, (delivery: Delivery) => {
          if (isCut) waiting.push(() => deliver(delivery))
          else deliver(delivery)
        }),
      close: () => inner.close(),
      [Symbol.asyncDispose]: () => inner.close(),
    },
    cut() {
      isCut = true
    },
    heal() {
      isCut = false
      const now = waiting
      waiting = []
      for (const deliver of now) deliver()
    },
    get isCut() {
      return isCut
    },
  }
}
