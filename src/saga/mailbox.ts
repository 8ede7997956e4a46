import type { Signal } from './signals.ts'

/** Signals that have come for a saga and that its code has not asked for yet: by name, in their order. */
export class Mailbox {
  readonly #queues = new Map<string, Signal[]>()
  readonly #received: Set<number>

  /** @param received the numbers of those that the journal has */
  constructor(received: ReadonlySet<number>) {
    this.#received = new Set(received)
  }

  /** Those that came before are passed over. */
  put(signals: readonly Signal[]): void {
    for (const signal of signals) {
      if (this.#received.has(signal.number)) continue
      this.#received.add(signal.number)
      const queue = this.#queues.get(signal.name)
      if (queue === undefined) this.#queues.set(signal.name, [signal])
      else queue.push(signal)
    }
  }

  take(name: string): Signal | undefined {
    return this.#queues.get(name)?.shift()
  }
}
