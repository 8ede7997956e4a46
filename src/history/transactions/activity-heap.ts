/** Numbers, most active first. */
export class ActivityHeap {
  readonly #activity: Float64Array
  readonly #heap: number[] = []
  readonly #at: Int32Array

  constructor(activity: Float64Array) {
    this.#activity = activity
    this.#at = new Int32Array(activity.length).fill(-1)
  }

  push(v: number): void {
    if (this.#at[v] !== -1) return
    this.#heap.push(v)
    this.#up(this.#heap.length - 1)
  }

  pop(): number {
    const top = this.#heap[0]
    if (top === undefined) return -1
    const last = this.#heap.pop() as number
    this.#at[top] = -1
    if (last !== top) {
      this.#heap[0] = last
      this.#at[last] = 0
      this.#down(0)
    }
    return top
  }

  changed(v: number): void {
    if (this.#at[v] !== -1) this.#up(this.#at[v] as number)
  }

  #up(from: number): void {
    const heap = this.#heap
    const v = heap[from] as number
    let i = from
    while (i > 0) {
      const p = (i - 1) >> 1
      const u = heap[p] as number
      if ((this.#activity[u] as number) >= (this.#activity[v] as number)) break
      heap[i] = u
      this.#at[u] = i
      i = p
    }
    heap[i] = v
    this.#at[v] = i
  }

  #down(from: number): void {
    const heap = this.#heap
    const v = heap[from] as number
    let i = from
    for (;;) {
      let c = 2 * i + 1
      if (c >= heap.length) break
      if (
        c + 1 < heap.length &&
        (this.#activity[heap[c + 1] as number] as number) > (this.#activity[heap[c] as number] as number)
      )
        c++
      const u = heap[c] as number
      if ((this.#activity[u] as number) <= (this.#activity[v] as number)) break
      heap[i] = u
      this.#at[u] = i
      i = c
    }
    heap[i] = v
    this.#at[v] = i
  }
}
