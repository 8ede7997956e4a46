import { openReadOnly, type Place, type ReadOnly } from '../audit/read-only.ts'

/** Follows how many orders have ended, by reading the order service's database (which outlives its kills). */
export class Ends {
  readonly #place: Place
  readonly #patienceMs: number
  #database: ReadOnly | undefined
  readonly #waiting = new Map<string, () => void>()
  readonly #ended = new Set<string>()
  #stopped = false
  #loop: Promise<void> | undefined
  /** When the last end was seen, on the monotonic clock. */
  lastEndMs = performance.now()

  constructor(place: Place, patienceMs: number) {
    this.#place = place
    this.#patienceMs = patienceMs
  }

  /** Keys of which an order has ended. */
  get count(): number {
    return this.#ended.size
  }

  has(key: string): boolean {
    return this.#ended.has(key)
  }

  async start(): Promise<void> {
    this.#database = await openReadOnly(this.#place)
    this.#loop = this.#follow()
  }

  wait(key: string): Promise<void> {
    if (this.#ended.has(key)) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(done, this.#patienceMs)
      const waiting = this.#waiting
      waiting.set(key, done)
      function done(): void {
        clearTimeout(timer)
        waiting.delete(key)
        resolve()
      }
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#loop
    await this.#database?.close()
  }

  async #follow(): Promise<void> {
    let sinceMs = 0
    for (let look = 1; !this.#stopped; look++) {
      try {
        // With an overlap, since an end is visible only after its commit; now and then from the start, to be sure.
        const fromMs = look % FROM_START_EVERY === 0 ? 0 : sinceMs - OVERLAP_MS
        const rows = await this.#database?.read<{ idempotency_key: string; ended_at_ms: number | string }>(
          `select idempotency_key, ended_at_ms from orders where ended_at_ms >= ${fromMs}`,
        )
        for (const { idempotency_key: key, ended_at_ms } of rows ?? []) {
          sinceMs = Math.max(sinceMs, Number(ended_at_ms))
          if (this.#ended.has(key)) continue
          this.#ended.add(key)
          this.lastEndMs = performance.now()
          this.#waiting.get(key)?.()
        }
      } catch {
        // The file was locked at this instant, or the server was; look again.
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    }
  }
}

const LOOK_EVERY_MS = 25
const OVERLAP_MS = 1_500
const FROM_START_EVERY = 40
