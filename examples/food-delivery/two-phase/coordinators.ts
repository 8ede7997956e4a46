import { Child, programOf } from '../process/child.ts'
import type { CoordinatorConfig, FromCoordinator } from './coordinator.ts'
import type { Order } from './orders.ts'

const PROGRAM = programOf(import.meta.url, './coordinator')
const IN_HAND_MAX = 8
const STOP_MS = 5_000

interface Coordinator {
  readonly life: number
  readonly child: Child<CoordinatorConfig, Order, FromCoordinator>
  readonly inHand: Set<string>
}

export interface Answered {
  readonly placed: string[]
  refused: number
  failed: number
  /** In hand of a coordinator when it was killed: the customer never hears. */
  unanswered: number
  kills: number
}

/** A few coordinator processes that share a list of orders; one that is killed is started again. */
export class Coordinators {
  readonly answered: Answered = { placed: [], refused: 0, failed: 0, unanswered: 0, kills: 0 }
  readonly #config: (index: number, life: number) => CoordinatorConfig
  readonly #orders: Order[]
  readonly #running = new Map<number, Coordinator>()
  /** All have been ready once: none has taken the orders away before another one was there. */
  #begun = false
  readonly #done: Promise<void>
  #finish!: () => void
  #fail!: (error: Error) => void

  constructor(
    count: number,
    orders: readonly Order[],
    config: (index: number, life: number) => CoordinatorConfig,
  ) {
    this.#config = config
    this.#orders = [...orders]
    this.#done = new Promise((resolve, reject) => {
      this.#finish = resolve
      this.#fail = reject
    })
    this.#done.catch(() => {})
    for (let index = 0; index < count; index++) this.#start(index, 1)
  }

  /** Fulfils when every order was answered or its coordinator was killed. */
  get done(): Promise<void> {
    return this.#done
  }

  /** SIGKILL to the one with this number, if it has something in hand and this life of it is not to be spared. */
  kill(index: number, isSpared: (index: number, life: number) => boolean): void {
    const running = this.#running.get(index)
    if (running === undefined || isSpared(index, running.life)) return
    if (running.child.isReady && running.inHand.size > 0) running.child.kill()
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ child }) => child.stop(STOP_MS)))
  }

  #start(index: number, life: number): void {
    const running: Coordinator = { life, child: new Child(PROGRAM, this.#fail), inHand: new Set() }
    this.#running.set(index, running)
    running.child.start({
      name: `coordinator ${index + 1}`,
      config: this.#config(index, life),
      onMessage: (message) => {
        if (message.kind === 'answer') this.#count(running, message)
        if (this.#begun) this.#handOut(running)
        else this.#begin()
      },
      onEnd: (killed) => {
        this.answered.unanswered += running.inHand.size
        running.inHand.clear()
        if (!killed) return
        this.answered.kills += 1
        this.#start(index, life + 1)
        this.#finishIfDone()
      },
    })
  }

  #begin(): void {
    const all = [...this.#running.values()]
    if (!all.every(({ child }) => child.isReady)) return
    this.#begun = true
    for (const one of all) this.#handOut(one)
  }

  #count({ inHand }: Coordinator, { id, outcome }: FromCoordinator & { kind: 'answer' }): void {
    inHand.delete(id)
    if (outcome === 'placed') this.answered.placed.push(id)
    else if (outcome === 'refused') this.answered.refused += 1
    else this.answered.failed += 1
  }

  #handOut({ child, inHand }: Coordinator): void {
    while (inHand.size < IN_HAND_MAX) {
      const order = this.#orders.shift()
      if (order === undefined) break
      inHand.add(order.id)
      child.send(order)
    }
    this.#finishIfDone()
  }

  #finishIfDone(): void {
    const busy = [...this.#running.values()].some(({ inHand }) => inHand.size > 0)
    if (this.#orders.length === 0 && !busy) this.#finish()
  }
}
