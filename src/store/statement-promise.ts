/**
 * The promise of one statement, which knows whether anybody looked at it.
 *
 * A statement that failed without anybody looking must fail its transaction: PostgreSQL would see to that by itself,
 * SQLite would commit the rest.
 */
export class StatementPromise<T> extends Promise<T> {
  /** Derived promises are plain ones. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  /** True once somebody awaited it or added a handler. */
  observed = false
  /** What it rejected with; undefined while it runs and when it fulfilled. */
  failure: { readonly error: unknown } | undefined

  // biome-ignore lint/suspicious/noThenProperty: await calls it, which is the point
  override then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.observed = true
    return super.then(fulfilled, rejected)
  }

  /** Waits for the end, either way, without counting as a look. */
  settled(): Promise<void> {
    return super.then(nothing, nothing)
  }
}

function nothing(): void {}
