import { setMaxListeners } from 'node:events'
import type {
  Broker,
  Delivery,
  Message,
  Publisher,
  PublishResult,
  SubscribeOptions,
  Subscription,
} from '../broker/index.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import {
  type Check,
  checkArguments,
  checkOptions,
  hasMethods,
  isCount,
  isDurationOrZero,
  isFunction,
  isObject,
  isOneOf,
  show,
} from '../core/options.ts'
import { seededRandom } from './seeded-random.ts'

export interface FaultyBrokerOptions {
  /** Chance that a delivery comes twice, the second time up to `delayMaxMs` later, whether or not it was acknowledged. */
  readonly duplicate?: number
  /** Chance that a delivery is held back, for a random time up to `delayMaxMs`. Later ones of its key wait behind it. */
  readonly delay?: number
  /** Default 50. */
  readonly delayMaxMs?: number
  /** Chance that a delivery is held back, as with `delay`, and overtaken. */
  readonly reorder?: number
  /**
   * What may overtake: `keys`, only messages of other keys (the default, which the Broker contract allows), or `all`,
   * also later messages of the same key, which the contract forbids and a consumer may notice.
   */
  readonly reorderWithin?: 'keys' | 'all'
  /** Chance that a stored message is reported as `unknown`, as when the answer is lost. The relay sends it again. */
  readonly loseAnswer?: number
  /** Chance that a message is reported as stored and is not. Breaks the contract: it shows that an audit can see a loss. */
  readonly lose?: number
  /** Seed of the choices. Default 1. */
  readonly seed?: number
  /** Overrides `seed`. */
  readonly random?: () => number
  readonly clock?: Clock
  /** Told of each fault as it is done, for a record of the run. */
  readonly onFault?: (fault: Fault) => void
}

export interface Fault {
  readonly kind: 'duplicate' | 'delay' | 'reorder' | 'lose-answer' | 'lose'
  readonly message: Message
  /** How long the delivery was held back, or how long after the first the copy comes; 0 for lost ones. */
  readonly byMs: number
}

const CHANCES = ['duplicate', 'delay', 'reorder', 'loseAnswer', 'lose'] as const

/**
 * Wraps a broker so that deliveries come twice, late and out of order, and answers get lost.
 *
 * Guarantee: with `lose` at 0 and `reorderWithin` left at `keys`, the result keeps the Broker contract, except that a
 * copy and its original may together exceed `prefetch`, and that a late copy of a message comes after its successors,
 * as after a redelivery. An acknowledgement counts when the first copy is acknowledged.
 */
export function faultyBroker(broker: Broker, options: FaultyBrokerOptions): Broker {
  checkArguments(
    'faultyBroker',
    hasMethods('broker', broker, 'a broker', 'publish', 'subscribe', 'close'),
    isObject('options', options),
  )
  const { delayMaxMs = 50, reorderWithin = 'keys', seed = 1, clock = systemClock, onFault } = options
  checkOptions(
    'faultyBroker',
    options,
    [...CHANCES, 'delayMaxMs', 'reorderWithin', 'seed', 'random', 'clock', 'onFault'],
    [
      ...CHANCES.map((name) => isChance(name, options[name])),
      isDurationOrZero('delayMaxMs', delayMaxMs),
      isCount('seed', seed, 0, 2 ** 32 - 1),
      isOneOf('reorderWithin', reorderWithin, ['keys', 'all']),
      onFault === undefined || isFunction('onFault', onFault),
    ],
  )
  const random = options.random ?? seededRandom(seed)

  const happens = (kind: Fault['kind'], chance: number | undefined, message: Message): number | undefined => {
    if (chance === undefined || chance === 0 || random() >= chance) return undefined
    const byMs = kind === 'lose' || kind === 'lose-answer' ? 0 : random() * delayMaxMs
    onFault?.({ kind, message, byMs })
    return byMs
  }

  return {
    name: broker.name,
    partitions: broker.partitions,

    async publish(batch, given: { readonly signal: AbortSignal; readonly publisher?: Publisher }) {
      const lost = new Set(batch.filter((m) => happens('lose', options.lose, m) !== undefined))
      const results = await broker.publish(
        batch.filter((m) => !lost.has(m)),
        given,
      )
      let next = 0
      const told = batch.map(
        (m): PublishResult => (lost.has(m) ? { kind: 'stored' } : (results[next++] as PublishResult)),
      )
      return loseAnswers(batch, told)
    },

    async subscribe(subscription, deliver) {
      return subscribeWithFaults(subscription, deliver)
    },

    close: () => broker.close(),
    [Symbol.asyncDispose]: () => broker.close(),
  }

  /** Once an answer of a key is lost, so are the later ones of that key: what is known to be stored stays a prefix. */
  function loseAnswers(batch: readonly Message[], results: readonly PublishResult[]): PublishResult[] {
    const unknownKeys = new Set<string>()
    return results.map((result, i) => {
      const message = batch[i] as Message
      const follows = message.key !== null && unknownKeys.has(message.key)
      if (result.kind !== 'stored') return result
      if (!follows && happens('lose-answer', options.loseAnswer, message) === undefined) return result
      if (message.key !== null) unknownKeys.add(message.key)
      return { kind: 'unknown', error: new Error('the answer was lost') }
    })
  }

  async function subscribeWithFaults(
    subscription: SubscribeOptions,
    deliver: (delivery: Delivery) => void,
  ): Promise<Subscription> {
    const ended = new AbortController()
    setMaxListeners(0, ended.signal) // one for each delivery that is held back
    /** The last delivery of each key that is held back; later ones of the key go behind it. */
    const held = new Map<string, Promise<void>>()

    const inner = await broker.subscribe(subscription, (delivery) => {
      const { message } = delivery
      const copyMs = happens('duplicate', options.duplicate, message)
      const overtakenMs = happens('reorder', options.reorder, message)
      const delayMs = overtakenMs === undefined ? happens('delay', options.delay, message) : undefined
      if (copyMs !== undefined) later(copyMs, () => deliver(copyOf(delivery)))
      if (overtakenMs !== undefined && reorderWithin === 'all') later(overtakenMs, () => deliver(delivery))
      else inKeyOrder(message.key, overtakenMs ?? delayMs ?? 0, () => deliver(delivery))
    })
    return {
      done: inner.done,
      close() {
        ended.abort()
        return inner.close()
      },
    }

    function inKeyOrder(key: string | null, waitMs: number, act: () => void): void {
      const ahead = key === null ? undefined : held.get(key)
      if (ahead === undefined && waitMs === 0) {
        act()
        return
      }
      const mine = Promise.all([ahead, clock.sleep(waitMs, ended.signal)]).then(
        () => void (ended.signal.aborted || act()),
        () => {},
      )
      if (key === null) return
      held.set(key, mine)
      mine.then(() => void (held.get(key) === mine && held.delete(key)))
    }

    function later(waitMs: number, act: () => void): void {
      clock.sleep(waitMs, ended.signal).then(
        () => void (ended.signal.aborted || act()),
        () => {},
      )
    }
  }
}

/** The broker does not know of the copy, so settling it says nothing to the broker. */
function copyOf({ message }: Delivery): Delivery {
  return { message, redelivered: true, ack: () => {}, release: () => {} }
}

function isChance(name: string, value: number | undefined): Check {
  return (
    value === undefined ||
    (typeof value === 'number' && value >= 0 && value <= 1) ||
    `${name} must be a chance from 0 to 1, got ${show(value)}`
  )
}
