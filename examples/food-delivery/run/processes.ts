import { Child, programOf } from '../process/child.ts'
import type { ServiceConfig, ServiceMessage, ServiceOrder } from '../service.ts'
import type { ServiceName } from '../shared/domain.ts'
import { type Orders, type Pausable, Pauses } from './pauses.ts'
import type { Timeline } from './timeline.ts'

const PROGRAM = programOf(import.meta.url, '../service')
const STOP_MS = 1_500

type ServiceProcess = Child<ServiceConfig, ServiceOrder, ServiceMessage>

/** A place where a service runs, life after life. */
interface Instance {
  readonly service: ServiceName
  child?: ServiceProcess
  /** Its life, as one that may stop itself. */
  life?: Pausable
  /** Where it listens; undefined while it is down. */
  url: string | undefined
  readonly questions: ((inHand: number) => void)[]
}

/** The service processes of one run: starts them, starts the killed ones again, knows where they listen. */
export class Processes {
  readonly #config: (service: ServiceName, life: number) => ServiceConfig
  readonly #timeline: Timeline
  readonly #pauses: Pauses
  readonly #instances: readonly Instance[]
  #spare: ServiceProcess | undefined
  /** Of the processes of one service, whose turn it is. */
  #turn = 0
  #failure: Error | undefined
  /** Fulfils never; rejects when a service cannot be kept alive. */
  readonly failed: Promise<never>
  #fail!: (error: Error) => void

  /**
   * @param services one entry for each process; a service may have several
   * @param ended the orders that have ended, in whose midst a process may have stopped itself
   */
  constructor(
    services: readonly ServiceName[],
    config: (service: ServiceName, life: number) => ServiceConfig,
    timeline: Timeline,
    ended: Orders,
  ) {
    this.#pauses = new Pauses(timeline, ended)
    this.#instances = services.map((service) => ({ service, url: undefined, questions: [] }))
    this.#config = config
    this.#timeline = timeline
    this.failed = new Promise((_, reject) => {
      this.#fail = reject
    })
    this.failed.catch((error: Error) => {
      this.#failure = error
    })
  }

  get count(): number {
    return this.#instances.length
  }

  /** Starts all of them and waits until they listen. */
  async start(): Promise<void> {
    await Promise.race([Promise.all(this.#instances.map((one) => this.#start(one, 1))), this.failed])
  }

  /** Where a service listens, one of its processes after the other; undefined while it is down. */
  url(service: ServiceName): string | undefined {
    const urls = this.#instances.flatMap((one) => (one.service === service ? (one.url ?? []) : []))
    return urls[this.#turn++ % urls.length]
  }

  /** @param index from 0 to `count` - 1 */
  kill(index: number): void {
    const { child, service } = this.#instances[index] as Instance
    // One that has stopped is to wake, and to do what it was about to do; and whoever takes over from it is to get so far.
    const isPausing = this.#instances.some(
      (one) => one.service === service && one.life !== undefined && this.#pauses.isUnder(one.life),
    )
    // One that is still starting has nothing to lose yet; killing it again and again would only keep it down.
    if (child?.isReady && !isPausing) child.kill()
  }

  /** What each service has in hand: handlers, held-back messages, unsent events. Infinity while one is down or stopped. */
  async inHand(): Promise<number> {
    if (this.#pauses.count > 0) return Number.POSITIVE_INFINITY
    const counts = await Promise.all(this.#instances.map(askInHand))
    return counts.reduce((a, b) => a + b, 0)
  }

  /** Ends all of them, politely at first. */
  async stop(): Promise<void> {
    await Promise.all([...this.#instances.map(({ child }) => child?.stop(STOP_MS)), this.#spare?.stop(0)])
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Fulfils when it listens, in this life or in a later one. */
  #start(instance: Instance, life: number): Promise<void> {
    const { service, questions } = instance
    const child = this.#spare ?? this.#spawn()
    instance.child = child
    const pausable = this.#pausable(instance, child)
    instance.life = pausable
    const ready = new Promise<void>((resolve) => {
      child.start({
        name: `the ${service} service`,
        config: this.#config(service, life),
        onMessage: (message) => {
          if (message.kind === 'ready') {
            instance.url = `http://127.0.0.1:${message.port}`
            this.#tellAddresses(instance)
            if (life > 1) this.#timeline.add('up', service)
            resolve()
          } else if (message.kind === 'in-hand') {
            questions.shift()?.(message.count ?? Number.POSITIVE_INFINITY) // Infinity has no JSON form
          } else if (message.kind === 'may-pause') {
            const { key, sure } = message
            void this.#pauses.ask(pausable, {
              service,
              key,
              sure,
              answer: (granted) => child.send({ kind: 'may-pause', key, granted }),
            })
          } else if (message.kind === 'paused') {
            this.#pauses.over(pausable, message.key)
          } else {
            this.#timeline.add(message.fault.kind, service, message.fault.detail)
          }
        },
        onEnd: (killed) => {
          for (const answer of questions.splice(0)) answer(Number.POSITIVE_INFINITY)
          instance.url = undefined
          if (!killed) return
          this.#timeline.add('kill', service)
          void this.#start(instance, life + 1).then(resolve)
        },
      })
    })
    // One more is always kept ready, as a standby would be, so that a killed service is away for as long as its leases run
    // and not for the start of Node.
    this.#spare = this.#spawn()
    return ready
  }

  #pausable(instance: Instance, child: ServiceProcess): Pausable {
    return {
      isAlive: () => child.isReady,
      hasSuccessor: () =>
        this.#instances.some(
          (other) =>
            other !== instance &&
            other.service === instance.service &&
            other.life?.isAlive() &&
            !this.#pauses.isUnder(other.life),
        ),
      wake: () => child.resume(),
    }
  }

  /** The others hear where this one listens, and it hears where the others do. */
  #tellAddresses(instance: Instance): void {
    for (const other of this.#instances) {
      if (instance.url !== undefined)
        other.child?.send({ kind: 'address', service: instance.service, url: instance.url })
      if (other.url !== undefined)
        instance.child?.send({ kind: 'address', service: other.service, url: other.url })
    }
  }

  #spawn(): ServiceProcess {
    return new Child(PROGRAM, this.#fail)
  }
}

function askInHand({ child, url, questions }: Instance): Promise<number> {
  if (child === undefined || url === undefined) return Promise.resolve(Number.POSITIVE_INFINITY)
  return new Promise((resolve) => {
    questions.push(resolve)
    child.send({ kind: 'in-hand' })
  })
}
