import type { Message, PublishResult } from './broker.ts'
import { MessageNotSentError } from './errors.ts'

export interface InKeyOrderOptions {
  /** Messages sent and not answered. */
  readonly inFlightMax: number
  readonly signal: AbortSignal
}

/**
 * Sends a batch one message at a time per key and many keys at a time, for brokers that may lose one message of a
 * connection and take the next (a change of leader, an overflow).
 *
 * Guarantee: the stored messages of each key are a prefix, because a message is sent only when the one before it was
 * confirmed. `send` must not reject. After `signal` nothing more is sent.
 */
export async function publishInKeyOrder(
  batch: readonly Message[],
  send: (message: Message) => Promise<PublishResult>,
  { inFlightMax, signal }: InKeyOrderOptions,
): Promise<PublishResult[]> {
  const results: (PublishResult | undefined)[] = batch.map(() => undefined)
  const lanes = laneOfEachKey(batch)
  let next = 0

  async function work(): Promise<void> {
    for (let lane = lanes[next++]; lane !== undefined; lane = lanes[next++]) {
      for (const i of lane) {
        if (signal.aborted) return
        const result = await send(batch[i] as Message)
        results[i] = result
        if (result.kind !== 'stored') break
      }
    }
  }

  await Promise.all(Array.from({ length: Math.min(inFlightMax, lanes.length) }, work))
  const untried: PublishResult = {
    kind: 'unknown',
    error: signal.aborted ? signal.reason : new MessageNotSentError(),
  }
  return results.map((result) => result ?? untried)
}

/** The indexes of each key's messages, in order and across topics; a message without a key is a lane of its own. */
function laneOfEachKey(batch: readonly Message[]): number[][] {
  const lanes: number[][] = []
  const byKey = new Map<string, number[]>()
  batch.forEach(({ key }, i) => {
    const lane = key === null ? undefined : byKey.get(key)
    if (lane !== undefined) {
      lane.push(i)
      return
    }
    const fresh = [i]
    lanes.push(fresh)
    if (key !== null) byKey.set(key, fresh)
  })
  return lanes
}
