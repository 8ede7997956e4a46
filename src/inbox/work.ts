import type { Delivery, Message } from '../broker/index.ts'
import type { LeaseRef } from '../lease/index.ts'
import type { OwnTransaction } from '../store/index.ts'

/** Where work comes from: one subscription to one partition, under one epoch of its lease. */
export interface Served {
  readonly topic: string
  readonly partition: number
  readonly lease: LeaseRef
  /** So many of the messages still to come may have been under way when the process of the former holder died. */
  doubtful: number
  /** Fires when the work must stop: the lease is lost, or a stop has waited long enough. */
  readonly signal: AbortSignal
  /** The store said that another process has the partition, before the keeper of the lease noticed. */
  lose(error: unknown): void
}

/** One message in hand. */
export interface Work {
  readonly message: Message
  readonly delivery: Pick<Delivery, 'ack'>
  /** Delivered before, or may have been. */
  readonly again: boolean
  /** Why the message cannot be stored as it came; undefined where it can. */
  readonly fault: string | undefined
  readonly retried: Retried | undefined
  /** The number of the attempt that comes next, or runs. */
  attempt: number
  /** Failures of the store in a row. */
  troubles: number
  /** True when `attempt` stands in `inbox_attempt`, or need not. */
  counted: boolean
  /** True when a row in `inbox_attempt` must go. */
  hasRow: boolean
  /** Was under way in more than one crash: runs with nothing beside it, so that only the culprit is blamed. */
  alone: boolean
}

/** How a dead letter that comes again differs from a message of the broker; see dead-letter-retries.ts. */
export interface Retried {
  /** Attempts before this one. */
  readonly attempts: number
  /** Right before the handler starts. False: there is nothing to do any more. */
  begin(): Promise<boolean>
  /** In the handling transaction, in place of the effect row. False: somebody else dealt with it. */
  claim(tx: OwnTransaction): Promise<boolean>
  /** The handler failed. */
  failed(error: unknown): Promise<void>
  /** The handler was not at fault: the lease was lost, the consumer stops, the store is in trouble. */
  interrupted(): Promise<void>
  /** It is no longer in hand. */
  ended(): void
}

export function newWork(given: Pick<Work, 'message' | 'delivery' | 'again' | 'fault' | 'retried'>): Work {
  return {
    ...given,
    attempt: 1 + (given.retried?.attempts ?? 0),
    troubles: 0,
    counted: false,
    hasRow: false,
    alone: false,
  }
}

/** New messages only may stand in a batch: what failed, or was delivered before, goes one by one. */
export function mayBatch(work: Work): boolean {
  return (
    work.attempt === 1 &&
    !work.counted &&
    !work.again &&
    work.retried === undefined &&
    work.fault === undefined
  )
}

/** What the worker is to do with a message, or with the messages of a batch, after a run. */
export type Ending =
  /** Done with for good. */
  | { readonly kind: 'settled' }
  /** Run it when nothing else runs. */
  | { readonly kind: 'alone' }
  /** Run the messages of the batch one by one. */
  | { readonly kind: 'singly' }
  /** Run it again later; later messages of the key wait behind it. */
  | { readonly kind: 'wait'; readonly waitMs: number }
  /** Run it again later, beside the other messages of its key. */
  | { readonly kind: 'aside'; readonly waitMs: number }
  /** The partition is no longer ours; the broker delivers it again. */
  | { readonly kind: 'dropped' }
