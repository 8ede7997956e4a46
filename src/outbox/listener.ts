import { backoffMs } from '../core/backoff.ts'
import { channelOf, decodeAnnouncement, notifyOf } from './channel.ts'
import type { RelayContext } from './relay-context.ts'

/** The part of a connected `pg` client that is used. It is ended by the relay. */
export interface ListenClient {
  query(text: string): Promise<unknown>
  on(event: 'notification', listener: (message: { payload?: string | undefined }) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end', listener: () => void): unknown
  end(): Promise<void>
}

/** Opens and connects a client that nothing else uses, on the same database as the store. */
export type OpenListenClient = () => Promise<ListenClient>

/** The wait before a connection that broke is opened again. */
const REOPEN_BACKOFF = { baseMs: 50, capMs: 5_000 }

/** How often the connection is asked for a sign of life: one whose other end is gone says nothing by itself. */
const CHECK_EVERY_MS = 15_000

/** The longest that opening, LISTEN and a sign of life may take. */
const ANSWER_MS = 5_000

/**
 * Hears of commits of other processes.
 *
 * What is not heard while the connection is down is found since `onHeard(undefined)` follows each opening and each
 * loss; and the poll goes on all the time, more seldom while this works.
 */
export class Listener {
  readonly #context: RelayContext
  readonly #open: OpenListenClient
  readonly #onHeard: (partitions: readonly number[] | undefined) => void
  readonly #listen: string
  readonly #channel: string
  readonly #halt = new AbortController()
  #running: Promise<void> | undefined
  #working = false

  /** @throws UnsupportedError */
  constructor(
    context: RelayContext,
    open: OpenListenClient,
    onHeard: (partitions: readonly number[] | undefined) => void,
  ) {
    const { store, outbox } = context
    this.#context = context
    this.#open = open
    this.#onHeard = onHeard
    this.#channel = channelOf(store, outbox.name)
    this.#listen = notifyOf(store, 'relay({ listen })').listen(this.#channel)
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
    const { store, options } = this.#context
    const { signal } = this.#halt
    for (let failures = 0; !signal.aborted; ) {
      try {
        await this.#listenOnce(() => {
          failures = 0
        })
      } catch (error) {
        if (signal.aborted) return
        failures++
        const waitMs = backoffMs(failures, REOPEN_BACKOFF, store.clock)
        options.log.warn('the relay does not hear of commits of other processes; it polls, and tries again', {
          channel: this.#channel,
          waitMs: Math.round(waitMs),
          error,
        })
        await store.clock.sleep(waitMs, signal).catch(() => {})
      }
    }
  }

  /** Listens until the connection breaks. @throws what broke it, or the signal's reason */
  async #listenOnce(onListening: () => void): Promise<never> {
    const opening = this.#open()
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
    client.on('notification', ({ payload }) => this.#onHeard(decodeAnnouncement(payload)))
    try {
      await this.#within(Promise.race([client.query(this.#listen), broken]))
      this.#working = true
      onListening()
      this.#onHeard(undefined)
      for (;;) {
        await Promise.race([this.#context.store.clock.sleep(CHECK_EVERY_MS, this.#halt.signal), broken])
        await this.#within(Promise.race([client.query('select 1'), broken]))
      }
    } finally {
      if (this.#working) {
        this.#working = false
        this.#onHeard(undefined)
      }
      void client.end().catch(() => {})
    }
  }

  /** Rejects when the relay stops or the answer takes too long. */
  async #within<T>(promise: Promise<T>): Promise<T> {
    const over = new AbortController()
    const signal = AbortSignal.any([this.#halt.signal, over.signal])
    const late = this.#context.store.clock.sleep(ANSWER_MS, signal).then(() => {
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
