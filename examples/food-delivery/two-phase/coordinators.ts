import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { CoordinatorConfig, FromCoordinator, ToCoordinator } from './coordinator.ts'
import type { Order } from './orders.ts'

const PROGRAM = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './coordinator.ts' : './coordinator.js', import.meta.url),
)
const IN_HAND_MAX = 8
const START_MS = 20_000
const STOP_MS = 5_000

const children = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

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
  readonly #running = new Map<number, { child: ChildProcess; inHand: Set<string>; ready: boolean }>()
  readonly #done: Promise<void>
  #finish!: () => void
  #fail!: (error: Error) => void
  #stopping = false

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

  get left(): number {
    return this.#orders.length
  }

  /** SIGKILL to the one with this number, if it has something in hand. */
  kill(index: number): void {
    const running = this.#running.get(index % this.#running.size)
    if (running?.ready && running.inHand.size > 0) running.child.kill('SIGKILL')
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(
      [...this.#running.values()].map(async ({ child }) => {
        if (child.exitCode !== null || child.signalCode !== null) return
        const exited = new Promise((resolve) => child.once('close', resolve))
        const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
        send(child, { kind: 'stop' })
        await exited
        clearTimeout(timer)
      }),
    )
  }

  #start(index: number, life: number): void {
    const child = fork(PROGRAM, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    children.add(child)
    const running = { child, inHand: new Set<string>(), ready: false }
    this.#running.set(index, running)
    let stderr = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-4_000)
    })
    const late = setTimeout(() => this.#fail(new Error(`a coordinator did not start\n${stderr}`)), START_MS)
    child.on('message', (message: FromCoordinator) => {
      if (message.kind === 'ready') {
        clearTimeout(late)
        running.ready = true
      } else {
        running.inHand.delete(message.id)
        if (message.outcome === 'placed') this.answered.placed.push(message.id)
        else if (message.outcome === 'refused') this.answered.refused += 1
        else this.answered.failed += 1
      }
      this.#handOut(running)
    })
    child.once('close', (code, signal) => {
      clearTimeout(late)
      children.delete(child)
      this.answered.unanswered += running.inHand.size
      running.inHand.clear()
      if (this.#stopping) return
      if (signal !== 'SIGKILL') {
        this.#fail(new Error(`a coordinator ended by itself (${code ?? signal})\n${stderr}`))
        return
      }
      this.answered.kills += 1
      this.#start(index, life + 1)
      this.#finishIfDone()
    })
    send(child, { kind: 'start', config: this.#config(index, life) })
  }

  #handOut({ child, inHand }: { child: ChildProcess; inHand: Set<string> }): void {
    while (inHand.size < IN_HAND_MAX) {
      const order = this.#orders.shift()
      if (order === undefined) break
      inHand.add(order.id)
      send(child, { kind: 'order', order })
    }
    this.#finishIfDone()
  }

  #finishIfDone(): void {
    const busy = [...this.#running.values()].some(({ inHand }) => inHand.size > 0)
    if (this.#orders.length === 0 && !busy) this.#finish()
  }
}

function send(child: ChildProcess, message: ToCoordinator): void {
  if (child.connected) child.send(message, () => {})
}
