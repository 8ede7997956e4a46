/** Silences of one message, sent alone, before they may count as its own fault. */
const SUSPECT_AFTER = 3

/** Messages of one partition that are under suspicion at a time. */
const SUSPECTS_MAX = 100

interface Suspect {
  silences: number
  /** How many messages the relay had handed over at its last silence. */
  relayed: number
}

export interface Silence {
  /** The first message of the batch that got no answer. */
  readonly id: string
  /** Messages in the batch. */
  readonly tried: number
  /** Messages that the relay has handed over so far, in all partitions. */
  readonly relayed: number
}

/**
 * Tells a message that the broker never answers (each time it breaks the link, say) from a broker that is down, by what
 * happened to other messages.
 *
 * After a silence the next batch is half as large, so that a message at fault ends up alone. Alone, it is a suspect:
 * it is always sent alone from then on, and others of its partition go meanwhile. If others were handed over between
 * two of its silences, the broker was there: that silence counts as a failed attempt. While nothing is handed over,
 * nothing counts, however long that lasts. No clock, no I/O.
 */
export class Silences {
  /** In a row, for the back-off. */
  count = 0
  #batchMax = Number.POSITIVE_INFINITY
  readonly #suspects = new Map<string, Suspect>()

  ofSuspect(id: string): number {
    return this.#suspects.get(id)?.silences ?? 0
  }

  /** The first of `rows` that may go together. */
  limit<T extends { readonly message_id: string }>(rows: readonly T[]): readonly T[] {
    if (this.#suspects.size === 0) return rows.length > this.#batchMax ? rows.slice(0, this.#batchMax) : rows
    const suspect = rows.findIndex((row) => this.#suspects.has(row.message_id))
    const together = suspect < 0 ? rows.length : Math.max(1, suspect)
    return rows.slice(0, Math.min(together, this.#batchMax))
  }

  /** Every message of a batch was answered, by a yes or a no. */
  answered(rows: readonly { readonly message_id: string }[]): void {
    this.count = 0
    this.#batchMax = this.#batchMax > 10_000 ? Number.POSITIVE_INFINITY : this.#batchMax * 2
    if (this.#suspects.size > 0) for (const row of rows) this.#suspects.delete(row.message_id)
  }

  /**
   * `pause`: try a smaller batch. `avoid`: it was alone; let others of the partition go before it is tried again.
   * `count`: the fault is its own.
   */
  met({ id, tried, relayed }: Silence): 'pause' | 'avoid' | 'count' {
    this.count++
    this.#batchMax = Math.max(1, Math.floor(tried / 2))
    if (tried > 1) return 'pause'
    const suspect = this.#suspects.get(id) ?? { silences: 0, relayed }
    const otherWent = relayed > suspect.relayed
    suspect.silences++
    suspect.relayed = relayed
    this.#suspects.delete(id)
    this.#suspects.set(id, suspect)
    if (this.#suspects.size > SUSPECTS_MAX) {
      for (const oldest of this.#suspects.keys()) {
        this.#suspects.delete(oldest)
        break
      }
    }
    return otherWent && suspect.silences >= SUSPECT_AFTER ? 'count' : 'avoid'
  }
}
