/** How many ids are kept for certain; twice as many at most. */
const KEPT = 2_000

/** The ids that were added last. Forgets older ones, so that nobody has to say when one is no longer needed. */
export class RecentIds {
  #newer = new Set<string>()
  #older: ReadonlySet<string> = new Set()

  add(id: string): void {
    if (this.#newer.size >= KEPT) {
      this.#older = this.#newer
      this.#newer = new Set()
    }
    this.#newer.add(id)
  }

  has(id: string): boolean {
    return this.#newer.has(id) || this.#older.has(id)
  }
}
