import type { Member } from './world.ts'

export interface NetworkOptions {
  readonly random: () => number
  readonly duplicate: number
  readonly lose: number
  /** In steps of the test. */
  readonly delayMax: number
}

interface InFlight<M> {
  readonly from: Member
  readonly to: Member
  readonly message: M
  readonly due: number
}

/** A network that holds messages back, repeats, reorders and loses them, and that can be cut; all of it by a seed. */
export class Network<M> {
  readonly #options: NetworkOptions
  #inFlight: InFlight<M>[] = []
  #cut = new Set<string>()
  #step = 0

  constructor(options: NetworkOptions) {
    this.#options = options
  }

  send(from: Member, to: Member, message: M): void {
    const { random, duplicate, lose, delayMax } = this.#options
    if (random() < lose) return
    const copies = random() < duplicate ? 2 : 1
    for (let i = 0; i < copies; i++) {
      this.#inFlight.push({ from, to, message, due: this.#step + Math.floor(random() * delayMax) })
    }
  }

  /** Nothing passes between the two until `heal`; what is sent waits. */
  cut(a: Member, b: Member): void {
    this.#cut.add(`${a} ${b}`).add(`${b} ${a}`)
  }

  heal(): void {
    this.#cut.clear()
  }

  isCut(a: Member, b: Member): boolean {
    return this.#cut.has(`${a} ${b}`)
  }

  /** What arrives in the next step, in a random order. */
  step(): { to: Member; message: M }[] {
    this.#step++
    return this.#take(({ from, to, due }) => due <= this.#step && !this.isCut(from, to))
  }

  /** All that is left, in a random order. */
  rest(): { to: Member; message: M }[] {
    return this.#take(() => true)
  }

  #take(arrives: (message: InFlight<M>) => boolean): InFlight<M>[] {
    const arrived = this.#inFlight.filter(arrives)
    this.#inFlight = this.#inFlight.filter((message) => !arrives(message))
    return arrived
      .map((message) => ({ message, at: this.#options.random() }))
      .sort((a, b) => a.at - b.at)
      .map(({ message }) => message)
  }
}
