import { backoffMs } from '../../core/backoff.ts'
import type { Store } from '../../store/store.ts'
import { within } from '../timer.ts'
import { notifyChannel, wakersOf } from './wakers.ts'

/** The part of a connected `pg` client that is used. It is ended by the engine. */
export interface ListenClient {
  query(text: string): Promise<unknown>
  on(event: 'notification', listener: (message: { payload?: string | undefined }) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end', listener: () => void): unknown
  end(): Promise<void>
}

/** Opens and connects a client that nothing else uses, on the same database as the store. */
export type OpenListenClient = () => Promise<ListenClient>

/** A connection whose other end is gone says nothing by itself. */
const CHECK_EVERY_MS = 15_000
const ANSWER_MS = 5_000

/** Hears of releases by other processes. All waiters look again after each opening and each loss. */
export class WakeListener {
  readonly #store: Store
  readonly #open: OpenListenClient
  readonly #halt = new AbortController()
  #running: Promise<void> | undefined
  #working = false

  constructor(store: Store, open: OpenListenClient) {
    this.#store = store
    this.#open = open
  }

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

  async #run(): Promise<void> {
    const { clock } = this.#store
    const { signal } = this.#halt
    for (let failures = 1; !signal.aborted; failures++) {
      await this.#listen().catch(() => {})
      this.#working = false
      wakersOf(this.#store).wakeAll()
      await clock.sleep(backoffMs(failures, { baseMs: 50, capMs: 5_000 }, clock), signal).catch(() => {})
    }
  }

  async #listen(): Promise<void> {
    const { clock, dialect } = this.#store
    const late = (): Error => new Error('the listening connection gave no answer')
    const opening = this.#open()
    const client = await within(clock, ANSWER_MS, opening, late).catch((error: unknown) => {
      opening.then((arrived) => arrived.end()).catch(() => {})
      throw error
    })
    const broken = new Promise<never>((_, reject) => {
      client.on('error', reject)
      client.on('end', () => reject(new Error('the listening connection ended')))
    })
    broken.catch(() => {})
    try {
      client.on('notification', ({ payload }) => wakersOf(this.#store).wake(payload ?? ''))
      const text = dialect.notify?.listen(notifyChannel(this.#store)) ?? ''
      await within(clock, ANSWER_MS, Promise.race([client.query(text), broken]), late)
      this.#working = true
      wakersOf(this.#store).wakeAll()
      for (;;) {
        await Promise.race([clock.sleep(CHECK_EVERY_MS, this.#halt.signal), broken])
        await within(clock, ANSWER_MS, Promise.race([client.query('select 1'), broken]), late)
      }
    } finally {
      void client.end().catch(() => {})
    }
  }
}
