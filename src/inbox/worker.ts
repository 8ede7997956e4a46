import type { Delivery, Message } from '../broker/index.ts'
import type { Clock } from '../core/clock.ts'
import type { ResolvedConsumer } from './consumer-options.ts'
import { type Lane, Lanes } from './lanes.ts'
import { storable } from './received-message.ts'
import type { Runner } from './runner.ts'
import { type Ending, mayBatch, newWork, type Retried, type Served, type Work } from './work.ts'

/**
 * Decides which message runs when: in order within a key, at most `concurrency` runs at once. Everything it holds came
 * through `accept`, so the prefetch of the subscriptions bounds it.
 */
export class Worker {
  /** On the monotonic clock: when something last came or ended. */
  lastActivityMs: number
  readonly #clock: Clock
  readonly #runner: Runner
  readonly #concurrency: number
  readonly #batchSizeMax: number
  readonly #lanes = new Lanes<Work, Served>()
  readonly #runningOf = new Map<Served, number>()
  readonly #waiters = new Set<{ condition: () => boolean; resolve: () => void }>()
  #running = 0
  #exclusive = false
  #held = false

  constructor(clock: Clock, runner: Runner, options: Pick<ResolvedConsumer, 'concurrency' | 'batchSizeMax'>) {
    this.#clock = clock
    this.#runner = runner
    this.#concurrency = options.concurrency
    this.#batchSizeMax = options.batchSizeMax
    this.lastActivityMs = clock.monotonic()
  }

  /** Messages in hand, running ones included. */
  get size(): number {
    return this.#lanes.size
  }

  /** Handlers under way. */
  get running(): number {
    return this.#running
  }

  open(served: Served): void {
    this.#lanes.open(served)
  }

  /** Forgets what of `served` waits; the broker delivers it again. Fulfils when nothing of it runs. */
  drop(served: Served): Promise<void> {
    this.#lanes.drop(served)
    this.#pump()
    return this.#until(() => !this.#runningOf.has(served))
  }

  accept(served: Served, delivery: Delivery): void {
    const again = delivery.redelivered || served.doubtful > 0
    if (served.doubtful > 0) served.doubtful -= 1
    this.#push(served, newWork({ ...storable(delivery.message), delivery, again, retried: undefined }))
  }

  acceptRetried(served: Served, message: Message, retried: Retried): void {
    const delivery = { ack: () => {} }
    this.#push(served, newWork({ message, fault: undefined, delivery, again: true, retried }))
  }

  /** Starts nothing more. Fulfils when nothing runs. */
  hold(): Promise<void> {
    this.#held = true
    return this.#until(() => this.#running === 0)
  }

  #push(served: Served, work: Work): void {
    this.lastActivityMs = this.#clock.monotonic()
    this.#lanes.push(served, work.message.key, work)
    this.#pump()
  }

  #pump(): void {
    while (!this.#held && !this.#exclusive && this.#running < this.#concurrency) {
      const lane = this.#lanes.peek()
      if (lane === undefined) return
      if ((lane.queue[0] as Work).alone) {
        if (this.#running > 0) return
        this.#exclusive = true
      }
      this.#start(lane)
    }
  }

  #start(lane: Lane<Work, Served>): void {
    const served = lane.owner
    this.#lanes.take(lane)
    this.#running += 1
    this.#runningOf.set(served, (this.#runningOf.get(served) ?? 0) + 1)
    const batch = this.#gather(lane)
    const works = batch.flatMap((part) => part.works)
    const run =
      works.length > 1
        ? this.#runner.runBatch(served, works)
        : this.#runner.run(served, lane.queue[0] as Work)
    run.then((ending) => {
      for (const part of batch) this.#end(part.lane, part.works.length, ending)
      this.#running -= 1
      this.#exclusive = false
      const left = (this.#runningOf.get(served) ?? 1) - 1
      if (left > 0) this.#runningOf.set(served, left)
      else this.#runningOf.delete(served)
      this.lastActivityMs = this.#clock.monotonic()
      this.#wakeWaiters()
      this.#pump()
    })
  }

  /** What runs together: the lane's first message or, in batches, new ones of it and of other ready lanes. */
  #gather(first: Lane<Work, Served>): { lane: Lane<Work, Served>; works: readonly Work[] }[] {
    const [work] = first.queue as [Work]
    if (this.#batchSizeMax === 1 || !mayBatch(work)) return [{ lane: first, works: [work] }]
    let left = this.#batchSizeMax
    const part = (lane: Lane<Work, Served>) => {
      const end = lane.queue.findIndex((w, i) => i === left || !mayBatch(w))
      const works = lane.queue.slice(0, end === -1 ? undefined : end)
      left -= works.length
      return { lane, works }
    }
    const batch = [part(first)]
    for (const lane of this.#lanes.readyOf(first.owner)) {
      if (left === 0) break
      if (!mayBatch(lane.queue[0] as Work)) continue
      this.#lanes.take(lane)
      batch.push(part(lane))
    }
    return batch
  }

  #end(lane: Lane<Work, Served>, count: number, ending: Ending): void {
    switch (ending.kind) {
      case 'settled':
        this.#lanes.finish(lane, count)
        return
      case 'alone':
        ;(lane.queue[0] as Work).alone = true
        this.#lanes.requeue(lane)
        return
      case 'singly':
        this.#lanes.requeue(lane)
        return
      case 'wait':
        this.#wakeLater(lane, ending.waitMs)
        return
      case 'aside':
        this.#wakeLater(this.#lanes.setAside(lane), ending.waitMs)
        return
      case 'dropped':
    }
  }

  /** Timers are for failures only; the usual path has none. */
  #wakeLater(lane: Lane<Work, Served>, waitMs: number): void {
    this.#lanes.park(lane)
    this.#clock.sleep(waitMs, lane.owner.signal).then(
      () => {
        this.#lanes.wake(lane)
        this.#pump()
      },
      () => {},
    )
  }

  #until(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.add({ condition, resolve }))
  }

  #wakeWaiters(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.condition()) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }
}
