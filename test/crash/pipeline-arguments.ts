export interface PipelineArguments {
  readonly kind: 'sqlite' | 'postgres'
  /** A folder, or a URL. */
  readonly at: string
  /** Orders are numbered by run, so that each run brings work of its own. */
  readonly run: number
  /** How long to wait for every order to be settled. Default 20 000. */
  readonly deadlineMs?: number
  /** The mechanism that is left out, to show what it is for. */
  readonly without?: 'effect row' | 'ack after commit' | 'outbox'
}

export interface PipelineReport {
  readonly settledEverything: boolean
  readonly hits: readonly (readonly [name: string, count: number])[]
}

export const ORDERS_PER_RUN = 6
