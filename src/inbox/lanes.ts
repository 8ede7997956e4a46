/**
 * The work of one key, in order.
 *
 * idle: no work; the lane is forgotten. Left when work arrives.
 * ready: stands in the queue for a free place. Left when its first work is taken.
 * busy: its first work (or, in a batch, its first few) runs. Left when that ends.
 * waiting: its first work failed and is tried again later; the others wait behind it. Left by `wake`.
 */
export interface Lane<Work, Owner> {
  readonly key: string | null
  readonly owner: Owner
  readonly queue: Work[]
  state: 'idle' | 'ready' | 'busy' | 'waiting'
}

/**
 * Work in lanes: in order within a lane, lanes taken in the order in which they became ready. Holds no more than was
 * pushed, so its bound is the prefetch of the subscriptions. `owner` stands for the subscription that work came from:
 * what an owner brought is dropped with it.
 */
export class Lanes<Work, Owner> {
  #ready: Lane<Work, Owner>[] = []
  #readyHead = 0
  readonly #byOwner = new Map<Owner, Map<string, Lane<Work, Owner>>>()
  readonly #sizes = new Map<Owner, number>()

  /** Everything pushed and not yet finished, running work included. */
  get size(): number {
    let total = 0
    for (const size of this.#sizes.values()) total += size
    return total
  }

  open(owner: Owner): void {
    this.#byOwner.set(owner, new Map())
    this.#sizes.set(owner, 0)
  }

  /** Forgets all work of `owner`. What runs goes on; its end is no longer of interest here. */
  drop(owner: Owner): void {
    this.#byOwner.delete(owner)
    this.#sizes.delete(owner)
  }

  isOpen(owner: Owner): boolean {
    return this.#sizes.has(owner)
  }

  /** Work without a key has a lane of its own. */
  push(owner: Owner, key: string | null, work: Work): void {
    if (!this.isOpen(owner)) return
    this.#resize(owner, 1)
    const lanes = this.#byOwner.get(owner) as Map<string, Lane<Work, Owner>>
    let lane = key === null ? undefined : lanes.get(key)
    if (lane === undefined) {
      lane = { key, owner, queue: [], state: 'idle' }
      if (key !== null) lanes.set(key, lane)
    }
    lane.queue.push(work)
    if (lane.state === 'idle') this.#enqueue(lane)
  }

  /** The lane that has been ready longest; it stays where it is. */
  peek(): Lane<Work, Owner> | undefined {
    for (; this.#readyHead < this.#ready.length; this.#readyHead++) {
      const lane = this.#ready[this.#readyHead] as Lane<Work, Owner>
      if (lane.state === 'ready' && this.isOpen(lane.owner)) return lane
    }
    this.#ready = []
    this.#readyHead = 0
    return undefined
  }

  /** Marks the lane of `peek` busy. */
  take(lane: Lane<Work, Owner>): void {
    lane.state = 'busy'
    if (this.#ready[this.#readyHead] === lane) this.#readyHead += 1
    if (this.#readyHead > 1024) {
      this.#ready = this.#ready.slice(this.#readyHead)
      this.#readyHead = 0
    }
  }

  /** Further ready lanes of the same owner, for a batch; one that was taken meanwhile is left out. */
  *readyOf(owner: Owner): Generator<Lane<Work, Owner>> {
    for (const lane of this.#ready.slice(this.#readyHead)) {
      if (lane.owner === owner && lane.state === 'ready') yield lane
    }
  }

  /** The first `count` of the lane's work have ended for good. */
  finish(lane: Lane<Work, Owner>, count: number): void {
    if (!this.isOpen(lane.owner)) return
    lane.queue.splice(0, count)
    this.#resize(lane.owner, -count)
    if (lane.queue.length > 0) {
      this.#enqueue(lane)
      return
    }
    lane.state = 'idle'
    if (lane.key !== null) this.#byOwner.get(lane.owner)?.delete(lane.key)
  }

  /** The lane's first work runs again as soon as there is a place. */
  requeue(lane: Lane<Work, Owner>): void {
    if (this.isOpen(lane.owner)) this.#enqueue(lane)
  }

  /** The lane waits until `wake`. */
  park(lane: Lane<Work, Owner>): void {
    lane.state = 'waiting'
  }

  wake(lane: Lane<Work, Owner>): void {
    if (lane.state === 'waiting' && this.isOpen(lane.owner)) this.#enqueue(lane)
  }

  /** Takes the first work out of its lane, which goes on without it, and gives it a waiting lane of its own. */
  setAside(lane: Lane<Work, Owner>): Lane<Work, Owner> {
    const aside: Lane<Work, Owner> = {
      key: null,
      owner: lane.owner,
      queue: lane.queue.slice(0, 1),
      state: 'waiting',
    }
    if (this.isOpen(lane.owner)) {
      this.#resize(lane.owner, 1)
      this.finish(lane, 1)
    }
    return aside
  }

  #enqueue(lane: Lane<Work, Owner>): void {
    lane.state = 'ready'
    this.#ready.push(lane)
  }

  #resize(owner: Owner, by: number): void {
    this.#sizes.set(owner, (this.#sizes.get(owner) ?? 0) + by)
  }
}
