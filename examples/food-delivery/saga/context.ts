import type { Runtime } from '../holdfast/runtime.ts'
import type { Handlers, Routes } from '../shared/http.ts'
import type { SagaMechanism } from './without.ts'

/** What a service of the version with sagas works with. */
export interface SagaSurroundings extends Runtime {
  /** Reaches the other services by their names, over a network that delays and doubles. */
  readonly fetch: typeof fetch
  /** The mechanism that this run goes without, if any. */
  readonly without: SagaMechanism | undefined
}

/** A service: its routes, handlers that answer by themselves, and how much it has in hand beside the messages. */
export type SagaService = (surroundings: SagaSurroundings) => {
  readonly routes: Routes
  readonly handlers?: Handlers
  readonly inHand?: () => Promise<number>
  readonly stop?: () => Promise<void>
}
