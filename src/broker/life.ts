import { BrokerUnavailableError } from './errors.ts'

/** What is open at a broker, so that closing can refuse what comes later and wait for what is under way. */
export class BrokerLife<S extends { close(): Promise<unknown> }> {
  readonly #name: string
  readonly #stop = new AbortController()
  readonly #subscriptions = new Set<S>()
  readonly #publishing = new Set<Promise<unknown>>()
  #closing: Promise<void> | undefined

  constructor(name: string) {
    this.#name = name
  }

  /** Fires when the broker begins to close. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  get hasSubscriptions(): boolean {
    return this.#subscriptions.size > 0
  }

  /** @throws BrokerUnavailableError once it is closed */
  assertOpen(): void {
    if (this.#stop.signal.aborted) throw this.#stop.signal.reason
  }

  /** Counts a call as under way until it has settled. */
  async publishing<T>(call: Promise<T>): Promise<T> {
    this.#publishing.add(call)
    try {
      return await call
    } finally {
      this.#publishing.delete(call)
    }
  }

  /** Starts a subscription and keeps it; one that fails, or that starts while the broker closes, is closed again. */
  async subscribing(subscription: S, start: () => Promise<void>): Promise<S> {
    this.#subscriptions.add(subscription)
    try {
      await start()
      this.assertOpen()
      return subscription
    } catch (error) {
      await subscription.close().catch(() => {})
      this.#subscriptions.delete(subscription)
      this.assertOpen()
      throw error
    }
  }

  forget(subscription: S): void {
    this.#subscriptions.delete(subscription)
  }

  /** Refuses new work, closes the subscriptions, waits for what is being published, then does the rest. Once. */
  close(rest: () => Promise<unknown> = async () => {}): Promise<void> {
    this.#closing ??= this.#close(rest)
    return this.#closing
  }

  async #close(rest: () => Promise<unknown>): Promise<void> {
    this.#stop.abort(new BrokerUnavailableError(this.#name, { cause: 'the broker was closed' }))
    const closed = await Promise.allSettled([...this.#subscriptions].map((s) => s.close()))
    await Promise.allSettled(this.#publishing)
    await rest()
    const failed = closed.find((end) => end.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }
}
