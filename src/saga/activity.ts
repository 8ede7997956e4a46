/** Fulfils never: what awaits it is given up, and collected. */
export const never = <T>(): Promise<T> => new Promise<T>(() => {})

export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

interface Wait {
  readonly untilMs: number | undefined
  /** For people. */
  readonly what: string
  timer: NodeJS.Timeout | undefined
  go(): void
}

export interface ActivityEvents {
  nowMs(): number
  /** Nothing of the saga's has run for a turn of the loop. */
  onQuiet(): void
  /** Something runs again, after `becomeIdle`. */
  onBusy(): void
}

/** Counts what runs of one saga, and knows what it waits for. */
export class Activity {
  readonly #events: ActivityEvents
  readonly #waits = new Set<Wait>()
  #busy = 0
  #idle = false
  #looking = false
  #stopped = false

  constructor(events: ActivityEvents) {
    this.#events = events
  }

  get busy(): number {
    return this.#busy
  }

  get idle(): boolean {
    return this.#idle
  }

  get isWaiting(): boolean {
    return this.#waits.size > 0
  }

  /** What it waits for, for people; null for nothing. */
  get reason(): string | null {
    return [...this.#waits].map((wait) => wait.what).join(', ') || null
  }

  /** When the first of its waits ends by itself. */
  get dueMs(): number | undefined {
    const dues = [...this.#waits].flatMap((wait) => wait.untilMs ?? [])
    return dues.length > 0 ? Math.min(...dues) : undefined
  }

  enter(): void {
    if (this.#stopped) return
    this.#busy += 1
    if (!this.#idle) return
    this.#idle = false
    this.#events.onBusy()
  }

  leave(): void {
    if (this.#stopped) return
    this.#busy -= 1
    if (this.#busy > 0 || this.#looking) return
    this.#looking = true
    setImmediate(() => {
      this.#looking = false
      if (this.#busy === 0 && !this.#idle && !this.#stopped) this.#events.onQuiet()
    })
  }

  becomeIdle(): void {
    this.#idle = true
  }

  /** Waits until then, or until woken; rejects with the signal's reason. Counts as doing nothing. */
  async wait(untilMs: number | undefined, what: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const wait: Wait = { untilMs, what, timer: undefined, go: () => {} }
    let abort!: () => void
    const woken = new Promise<void>((resolve, reject) => {
      wait.go = resolve
      abort = () => reject(signal.reason)
      signal.addEventListener('abort', abort, { once: true })
      if (untilMs !== undefined) {
        const leftMs = Math.max(0, untilMs - this.#events.nowMs())
        wait.timer = setTimeout(resolve, Math.min(2_147_483_647, leftMs))
      }
    })
    this.#waits.add(wait)
    this.leave()
    try {
      await woken
    } finally {
      clearTimeout(wait.timer)
      this.#waits.delete(wait)
      signal.removeEventListener('abort', abort)
      this.enter()
    }
  }

  /** Lets everything that waits look again. */
  poke(): void {
    for (const { go } of [...this.#waits]) go()
  }

  /** Nothing is counted or told any more: what its waits do when they are aborted later changes nothing. */
  stop(): void {
    this.#stopped = true
    for (const wait of this.#waits) clearTimeout(wait.timer)
  }
}
