interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** Those who wait until a relay has nothing left to do. */
export class DrainWaiters {
  #waiters: Waiter[] = []

  get size(): number {
    return this.#waiters.length
  }

  wait(): Promise<void> {
    return new Promise<void>((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }

  resolve(): void {
    for (const waiter of this.#take()) waiter.resolve()
  }

  reject(error: unknown): void {
    for (const waiter of this.#take()) waiter.reject(error)
  }

  #take(): readonly Waiter[] {
    const waiters = this.#waiters
    if (waiters.length > 0) this.#waiters = []
    return waiters
  }
}
