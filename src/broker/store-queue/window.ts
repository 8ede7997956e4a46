/** A message that was read and whose fate the group has not decided for good. */
export interface Entry {
  readonly offset: bigint
  state: 'open' | 'acknowledged' | 'released'
}

/**
 * What one subscription has read beyond its cursor, in order of the log. Pure bookkeeping.
 *
 * The cursor is the end of the contiguous acknowledged prefix: every message below it was acknowledged, and a crash
 * brings back everything from it on. A released message stays in the window and holds the cursor.
 */
export class Window {
  #entries: Entry[] = []
  #head = 0
  #next: bigint
  #open = 0

  constructor(cursor: bigint) {
    this.#next = cursor
  }

  get cursor(): bigint {
    return this.#entries[this.#head]?.offset ?? this.#next
  }

  /** The offset to read next; everything below was handed out. */
  get next(): bigint {
    return this.#next
  }

  /** Messages handed out and neither acknowledged nor released. */
  get open(): number {
    return this.#open
  }

  /** Messages from the cursor to `next`. */
  get size(): number {
    return this.#entries.length - this.#head
  }

  add(offset: bigint): Entry {
    const entry: Entry = { offset, state: 'open' }
    this.#entries.push(entry)
    this.#next = offset + 1n
    this.#open++
    return entry
  }

  /** Steps over offsets that retention removed. */
  skipTo(offset: bigint): void {
    if (offset > this.#next) this.#next = offset
  }

  /** The first settlement of an entry counts, later ones change nothing. */
  settle(entry: Entry, state: 'acknowledged' | 'released'): void {
    if (entry.state !== 'open') return
    entry.state = state
    this.#open--
    while (this.#entries[this.#head]?.state === 'acknowledged') this.#head++
    // Cutting off what is done costs a copy, so it waits until at least half of the array is done.
    if (this.#head >= 64 && this.#head * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
  }
}
