import { type Deferred, deferred } from '../core/deferred.ts'
import type { Ended } from './local.ts'
import type { SagaRun } from './run.ts'

interface Held {
  readonly run: SagaRun
  readonly ended: Deferred<Ended>
}

/** The sagas that one runner has in memory, and how many more it has room for: those that only wait take no place. */
export class Runs {
  readonly #held = new Map<string, Held>()
  readonly #concurrency: number
  #active = 0
  /** Being inserted, to be run then. */
  #starting = 0
  #onFewer: (() => void)[] = []
  /** Something was due and not taken up, since there was no room. */
  isBehind = false
  readonly counts = { completed: 0, failed: 0, cancelled: 0, stuck: 0 }

  constructor(concurrency: number) {
    this.#concurrency = concurrency
  }

  get size(): number {
    return this.#held.size
  }

  get waiting(): number {
    return this.#held.size - this.#active
  }

  get room(): number {
    return Math.max(0, this.#concurrency - this.#active - this.#starting)
  }

  has(id: string): boolean {
    return this.#held.has(id)
  }

  get(id: string): SagaRun | undefined {
    return this.#held.get(id)?.run
  }

  ended(id: string): Promise<Ended> | undefined {
    return this.#held.get(id)?.ended.promise
  }

  all(): SagaRun[] {
    return [...this.#held.values()].map(({ run }) => run)
  }

  of(partition: string): SagaRun[] {
    return this.all().filter((run) => run.row.partition === partition)
  }

  /** Keeps a place free while `work` inserts a saga. */
  async starting<T>(work: () => Promise<T>): Promise<T> {
    this.#starting += 1
    try {
      return await work()
    } finally {
      this.#starting -= 1
      this.#tellFewer()
    }
  }

  add(run: SagaRun): void {
    this.#held.set(run.id, { run, ended: deferred() })
    this.#active += 1
  }

  setIdle(idle: boolean): void {
    this.#active += idle ? -1 : 1
  }

  /** False when it was not here any more. `ended` is undefined for one that was laid down or lost. */
  remove(run: SagaRun, ended: Ended | undefined): boolean {
    const held = this.#held.get(run.id)
    if (held?.run !== run) return false
    this.#held.delete(run.id)
    if (!run.idle) this.#active -= 1
    if (ended !== undefined && isFinal(ended.state)) this.counts[ended.state] += 1
    // Laid down or lost: who waits for its end looks in the store again.
    held.ended.resolve(ended ?? { state: 'running', output: null, reason: null })
    this.#tellFewer()
    return true
  }

  /** Fulfils when none of this partition is left. */
  async goneFrom(partition: string): Promise<void> {
    while (this.of(partition).length > 0) await this.#fewer()
  }

  /** Fulfils when none is left, nor is being inserted. */
  async gone(): Promise<void> {
    while (this.#held.size > 0 || this.#starting > 0) await this.#fewer()
  }

  #fewer(): Promise<void> {
    return new Promise((resolve) => this.#onFewer.push(resolve))
  }

  #tellFewer(): void {
    for (const resolve of this.#onFewer.splice(0)) resolve()
  }
}

function isFinal(state: string): state is keyof Runs['counts'] {
  return state !== 'running' && state !== 'undoing'
}
