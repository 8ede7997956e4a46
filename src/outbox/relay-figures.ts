import type { Rate } from './rate.ts'

/** What a relay has done since it started. */
export interface RelayFigures {
  readonly owner: string
  /** Partitions that this relay holds now. */
  readonly partitions: number
  /** Messages that the broker stored. */
  readonly relayed: number
  readonly relayedPerSecond: number
  /** Attempts that the broker refused. */
  readonly retries: number
  readonly deadLetters: number
  /** Keys whose later messages wait. */
  readonly blockedKeys: number
  /** Messages on their way. */
  readonly inHand: number
  /** Reads of the outbox, those of `emptyReads` included. */
  readonly reads: number
  readonly emptyReads: number
  /** Messages of this process that were handed over without a read. */
  readonly direct: number
}

/** The rates of the outbox that a relay adds to. */
export interface RelayRates {
  readonly relayed: Rate
  readonly retries: Rate
}

/** The counts that the parts of a relay keep. */
export class RelayCounts {
  relayed = 0
  retries = 0
  deadLetters = 0
  reads = 0
  emptyReads = 0
  direct = 0
  /** Being published, or stored by the broker and not yet deleted. */
  inHand = 0
  /** Bytes of the large payloads among those that are being published. */
  largeBytes = 0
  readonly rates: RelayRates

  constructor(rates: RelayRates) {
    this.rates = rates
  }

  addRelayed(count: number): void {
    this.relayed += count
    this.rates.relayed.add(count)
  }

  addRetry(): void {
    this.retries++
    this.rates.retries.add(1)
  }
}
