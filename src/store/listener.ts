import { createHash } from 'node:crypto'
import { backoffMs } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import type { Store } from './store.ts'

/** The part of a connected `pg` client that is used. The listener ends it. */
export interface ListenClient {
  query(text: string): Promise<unknown>
  on(event: 'notification', listener: (message: { payload?: string | undefined }) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end', listener: () => void): unknown
  end(): Promise<void>
}

/** Opens and connects a client that nothing else uses, on the same database as the store. */
export type OpenListenClient = () => Promise<ListenClient>

export interface ListenerOptions {
  readonly clock: Clock
  readonly open: OpenListenClient
  /** The LISTEN statement. */
  readonly listen: string
  /** With the payload of a notification; without any at each opening and each loss, when anything may have been missed. */
  readonly onHeard: (payload: string | undefined) => void
  /** The connection broke, or could not be opened; it is tried again after `waitMs`. */
  readonly onBroken?: (error: unknown, waitMs: number) => void
}

/** The wait before a connection that broke is opened again. */
const REOPEN_BACKOFF = { baseMs: 50, capMs: 5_000 }

/** How often the connection is asked for a sign of life: one whose other end is gone says nothing by itself. */
const CHECK_EVERY_MS = 15_000

/** The longest that opening, LISTEN and a sign of life may take. */
const ANSWER_MS = 5_000

/** Longer names of channels are refused by NOTIFY and cut short by LISTEN. */
const CHANNEL_BYTES_MAX = 63

/** The channel of one thing in one of Holdfast's tables; prefix and name tell channels of one database apart. */
export function channelOf(store: Store, table: string, name: string): string {
  const channel = `${store.tableName(table)}/${name}`
  if (Buffer.byteLength(channel) <= CHANNEL_BYTES_MAX) return channel
  return `holdfast_${table}/${createHash('sha256').update(channel).digest('hex').slice(0, 40)}`
}

/** Hears what other processes notify, over a connection of its own that is opened again whenever it breaks. */
export class Listener {
  readonly #options: ListenerOptions
  readonly #halt = new AbortController()
  #running: Promise<void> | undefined
  #working = false

  constructor(options: ListenerOptions) {
    this.#options = options
  }

  /** True while LISTEN stands, as far as is known. */
  get working(): boolean {
    return this.#working
  }

  start(): void {
    this.#running ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#halt.abort()
    await this.#running
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { clock, onBroken } = this.#options
    const { signal } = this.#halt
    for (let failures = 0; !signal.aborted; ) {
      try {
        await this.#listenOnce(() => {
          failures = 0
        })
      } catch (error) {
        if (signal.aborted) return
        failures++
        const waitMs = backoffMs(failures, REOPEN_BACKOFF, clock)
        onBroken?.(error, waitMs)
        await clock.sleep(waitMs, signal).catch(() => {})
      }
    }
  }

  /** Listens until the connection breaks. @throws what broke it, or the signal's reason */
  async #listenOnce(onListening: () => void): Promise<never> {
    const { clock, open, listen, onHeard } = this.#options
    const opening = open()
    let client: ListenClient
    try {
      client = await this.#within(opening)
    } catch (error) {
      opening.then((late) => late.end()).catch(() => {})
      throw error
    }
    const broken = new Promise<never>((_, reject) => {
      client.on('error', reject)
      client.on('end', () => reject(new Error('the listening connection ended')))
    })
    broken.catch(() => {})
    client.on('notification', ({ payload }) => onHeard(payload))
    try {
      await this.#within(Promise.race([client.query(listen), broken]))
      this.#working = true
      onListening()
      onHeard(undefined)
      for (;;) {
        await Promise.race([clock.sleep(CHECK_EVERY_MS, this.#halt.signal), broken])
        await this.#within(Promise.race([client.query('select 1'), broken]))
      }
    } finally {
      if (this.#working) {
        this.#working = false
        onHeard(undefined)
      }
      void client.end().catch(() => {})
    }
  }

  /** Rejects when the listener stops or the answer takes too long. */
  async #within<T>(promise: Promise<T>): Promise<T> {
    const over = new AbortController()
    const signal = AbortSignal.any([this.#halt.signal, over.signal])
    const late = this.#options.clock.sleep(ANSWER_MS, signal).then(() => {
      throw new Error(`the listening connection gave no answer within ${ANSWER_MS} ms`)
    })
    late.catch(() => {})
    promise.catch(() => {})
    try {
      return await Promise.race([promise, late])
    } finally {
      over.abort()
    }
  }
}
