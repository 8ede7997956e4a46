import { backoffMs } from '../../core/backoff.ts'
import type { Log } from '../../core/log.ts'
import type { Store } from '../../store/store.ts'
import { type Cursor, writeCursors } from './cursors.ts'

/** Something whose place is stored from time to time. */
export interface Placed {
  readonly cursor: Cursor
}

const FAILURE_BACKOFF = { baseMs: 50, capMs: 5_000 }
const WRITE_TIMEOUT_MS = 10_000

/**
 * Stores cursors in batches: the first change starts a wait of `everyMs`, and what changed meanwhile goes out in one
 * transaction. A crash loses at most that much progress, which means redelivery, never loss.
 */
export class CursorWriter {
  readonly #store: Store
  readonly #everyMs: number
  readonly #log: Log
  readonly #changed = new Set<Placed>()
  readonly #stop = new AbortController()
  #scheduled: Promise<void> | undefined
  #writing: Promise<void> = Promise.resolve()
  #failures = 0

  constructor(store: Store, everyMs: number, log: Log) {
    this.#store = store
    this.#everyMs = everyMs
    this.#log = log
  }

  mark(placed: Placed): void {
    this.#changed.add(placed)
    if (this.#stop.signal.aborted) return
    this.#scheduled ??= this.#later(this.#everyMs)
  }

  forget(placed: Placed): void {
    this.#changed.delete(placed)
  }

  /** When this fulfils, every place marked before the call is stored. Writes go one after another. */
  flush(): Promise<void> {
    const write = (): Promise<void> => this.#write()
    this.#writing = this.#writing.then(write, write)
    return this.#writing
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#scheduled
    await this.#writing.catch(() => {})
  }

  async #later(ms: number): Promise<void> {
    const { clock } = this.#store
    try {
      await clock.sleep(ms, this.#stop.signal)
    } catch {
      return
    } finally {
      this.#scheduled = undefined
    }
    try {
      await this.flush()
      this.#failures = 0
    } catch (error) {
      this.#log.warn('storing the place of a group failed', { error })
      if (!this.#stop.signal.aborted)
        this.#scheduled ??= this.#later(backoffMs(++this.#failures, FAILURE_BACKOFF, clock))
    }
  }

  async #write(): Promise<void> {
    const changed = [...this.#changed]
    if (changed.length === 0) return
    this.#changed.clear()
    try {
      await this.#store.transaction(
        (tx) =>
          writeCursors(
            tx,
            changed.map((p) => p.cursor),
          ),
        {
          isolation: 'read-committed',
          timeoutMs: WRITE_TIMEOUT_MS,
        },
      )
    } catch (error) {
      for (const placed of changed) this.#changed.add(placed)
      throw error
    }
  }
}
