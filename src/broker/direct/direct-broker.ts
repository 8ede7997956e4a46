import { orAbort } from '../../core/abort.ts'
import { UnsupportedError } from '../../core/errors.ts'
import { checkOptions, isCount, optionsOf } from '../../core/options.ts'
import type { Broker, Message, PublishResult } from '../broker.ts'
import { MessageNotSentError } from '../errors.ts'

export interface DirectBrokerOptions {
  /**
   * Takes one message; it counts as stored when this returns or fulfils, and as refused when it throws or rejects.
   * Called in order within a key, for several keys at a time where it is asynchronous. Delivery is at least once.
   */
  readonly handle: (message: Message, context: { readonly signal: AbortSignal }) => unknown
  /** Asynchronous calls of one batch that may be open at once. Default 64. */
  readonly concurrency?: number
}

const STORED: PublishResult = Object.freeze({ kind: 'stored' })

/**
 * A broker without a broker: the relay hands each message straight to a function of this process.
 *
 * Guarantee: order per key; a message is not handed over before the earlier ones of its key in the batch succeeded.
 * Nothing is kept, so there is nothing to subscribe to.
 * @throws ConfigError
 */
export function directBroker(options: DirectBrokerOptions): Broker {
  const { handle, concurrency = 64 } = optionsOf('directBroker', options)
  checkOptions(
    'directBroker',
    options,
    ['handle', 'concurrency'],
    [
      typeof handle === 'function' || 'handle must be a function',
      isCount('concurrency', concurrency, 1, 10_000),
    ],
  )
  return {
    name: 'direct',
    partitions: 1,
    publish: (batch, { signal }) => orAbort(hand(batch, { signal }, handle, concurrency), signal),
    subscribe: () =>
      Promise.reject(
        new UnsupportedError('the direct broker hands messages to its own function; it has no subscribers'),
      ),
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  }
}

/** Costs no promise for a message whose handler is synchronous. */
async function hand(
  batch: readonly Message[],
  context: { readonly signal: AbortSignal },
  handle: DirectBrokerOptions['handle'],
  concurrency: number,
): Promise<readonly PublishResult[]> {
  const results = new Array<PublishResult>(batch.length)
  /** The last message of each key that is still open or failed. */
  const tails = new Map<string, Promise<boolean> | false>()
  const open = new Set<Promise<boolean>>()

  for (let i = 0; i < batch.length; i++) {
    if (context.signal.aborted) throw context.signal.reason
    const message = batch[i] as Message
    const tail = message.key === null ? undefined : tails.get(message.key)
    if (tail === false) {
      results[i] = notTried()
      continue
    }
    if (tail === undefined) {
      const outcome = attempt(message, i)
      if (typeof outcome === 'boolean') {
        if (!outcome && message.key !== null) tails.set(message.key, false)
        continue
      }
      keep(message, outcome)
    } else {
      keep(
        message,
        tail.then((succeeded) => {
          if (succeeded && !context.signal.aborted) return attempt(message, i)
          results[i] = notTried()
          return false
        }),
      )
    }
    if (open.size >= concurrency) await Promise.race(open)
  }
  await Promise.all(open)
  return results

  /** Whether the message was taken; a promise of it for an asynchronous handler. */
  function attempt(message: Message, i: number): boolean | Promise<boolean> {
    let returned: unknown
    try {
      returned = handle(message, context)
    } catch (error) {
      results[i] = { kind: 'refused', error }
      return false
    }
    if (typeof (returned as PromiseLike<unknown> | null | undefined)?.then !== 'function') {
      results[i] = STORED
      return true
    }
    return (returned as PromiseLike<unknown>).then(
      () => {
        results[i] = STORED
        return true
      },
      (error: unknown) => {
        results[i] = { kind: 'refused', error }
        return false
      },
    ) as Promise<boolean>
  }

  function keep(message: Message, outcome: Promise<boolean>): void {
    if (message.key !== null) tails.set(message.key, outcome)
    open.add(outcome)
    outcome.then((succeeded) => {
      open.delete(outcome)
      if (message.key === null || tails.get(message.key) !== outcome) return
      if (succeeded) tails.delete(message.key)
      else tails.set(message.key, false)
    })
  }
}

function notTried(): PublishResult {
  return { kind: 'unknown', error: new MessageNotSentError() }
}
