import type { Log } from '../core/log.ts'
import type { Store } from '../store/index.ts'
import { deleteDecisions } from './log.ts'

const BATCH = 500
const AFTER_MS = 1_000

/**
 * Removes decisions that this process has carried out, many in one statement. What is not removed (the process ended)
 * recovery marks as finished and removes after the window.
 */
export class Forgetter {
  readonly #store: Store
  readonly #log: Log
  #ids: string[] = []
  #timer: NodeJS.Timeout | undefined
  #flushing: Promise<void> = Promise.resolve()

  constructor(store: Store, log: Log) {
    this.#store = store
    this.#log = log
  }

  add(id: string): void {
    this.#ids.push(id)
    if (this.#ids.length >= BATCH) void this.flush()
    else this.#timer ??= setTimeout(() => void this.flush(), AFTER_MS).unref()
  }

  /** Never rejects: a decision that stays costs a row. */
  flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const ids = this.#ids.splice(0)
    if (ids.length > 0) {
      this.#flushing = this.#flushing.then(() =>
        deleteDecisions(this.#store, ids).catch((error: unknown) => {
          this.#log.debug('decisions that are carried out could not be removed', { error })
        }),
      )
    }
    return this.#flushing
  }
}
