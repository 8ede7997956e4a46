import type { OwnTransaction } from 'holdfast'
import type { Event, Topic } from '../shared/domain.ts'
import type { Routes } from '../shared/http.ts'
import type { Runtime } from './runtime.ts'
import type { Mechanism } from './without.ts'

/** What a service of the second version works with. */
export interface Holdfast extends Pick<Runtime, 'store' | 'transaction' | 'read'> {
  /** Publishes through the outbox: the event is sent if, and only if, `tx` commits. */
  publish(tx: OwnTransaction, topic: Topic, event: Event): Promise<unknown>
  /** Handles each message of a topic once, in one transaction. */
  on<E extends Event>(
    topic: Topic,
    group: string,
    handle: (tx: OwnTransaction, event: E) => Promise<void>,
  ): void
  /** The mechanism that this run goes without, if any. */
  readonly without: Mechanism | undefined
}

/** A service: its routes, and how much it has in hand beside the messages. */
export type HoldfastService = (context: Holdfast) => {
  readonly routes: Routes
  readonly inHand?: () => Promise<number>
  readonly stop?: () => Promise<void>
}
