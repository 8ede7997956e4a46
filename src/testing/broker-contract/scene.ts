import type { Broker } from '../../broker/index.ts'

/** A server that a test may kill and bring back with its data. */
export interface BrokerServer {
  kill(): Promise<void>
  start(): Promise<void>
}

/** One set-up of a broker, made for one test. */
export interface BrokerSetup {
  /** One more broker object, as another process would make one. The suite closes it. */
  open(): Promise<Broker>
  /** A process that subscribes, keeps what it gets without settling, and is killed. */
  readonly hoard: (options: { topic: string; group: string; partition: number; count: number }) => Promise<{
    /** Ids of what the process had in hand when it was killed. */
    readonly held: readonly string[]
  }>
  /** Needed with `restarts`. */
  readonly server?: BrokerServer
  dispose(): Promise<void>
}

/** What the tests of all sections stand on: a set-up of the test's own. */
export interface BrokerScene {
  readonly setup: BrokerSetup
  /** One more broker object, closed after the test. */
  open(): Promise<Broker>
}
