import { setTimeout as sleep } from 'node:timers/promises'
import { Child, programOf } from '../process/child.ts'
import type { ServiceConfig, ServiceMessage, ServiceOrder } from '../service.ts'
import type { ServiceName } from '../shared/domain.ts'
import type { Timeline } from './timeline.ts'

const PROGRAM = programOf(import.meta.url, '../service')
const STOP_MS = 1_500

/** One that has stopped itself wakes at the latest after this. */
const PAUSE_MAX_MS = 10_000
const LOOK_EVERY_MS = 20

type ServiceProcess = Child<ServiceConfig, ServiceOrder, ServiceMessage>

/** A place where a service runs, life after life. */
interface Instance {
  readonly service: ServiceName
  child?: ServiceProcess
  /** Where it listens; undefined while it is down. */
  url: string | undefined
  /** It has stopped itself. */
  isPaused: boolean
  readonly questions: ((inHand: number) => void)[]
}

/** The service processes of one run: starts them, starts the killed ones again, knows where they listen. */
export class Processes {
  readonly #config: (service: ServiceName, life: number) => ServiceConfig
  readonly #timeline: Timeline
  readonly #hasEnded: (key: string) => boolean
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
   * @param hasEnded whether the order with that key has ended, in whose midst a process has stopped itself
   */
  constructor(
    services: readonly ServiceName[],
    config: (service: ServiceName, life: number) => ServiceConfig,
    timeline: Timeline,
    hasEnded: (key: string) => boolean,
  ) {
    this.#hasEnded = hasEnded
    this.#instances = services.map((service) => ({ service, url: undefined, isPaused: false, questions: [] }))
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
    const { child, isPaused } = this.#instances[index] as Instance
    // One that is still starting has nothing to lose yet; killing it again and again would only keep it down. And one that
    // has stopped is to wake.
    if (child?.isReady && !isPaused) child.kill()
  }

  /** What each service has in hand: handlers, held-back messages, unsent events. Infinity for one that is down. */
  async inHand(): Promise<number> {
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
            const granted = this.#mayPause(instance)
            child.send({ kind: 'may-pause', granted })
            if (granted) void this.#pause(instance, message.key)
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

  /** Only where another process of the service can take over. */
  #mayPause(instance: Instance): boolean {
    return this.#instances.some(
      (other) =>
        other !== instance && other.service === instance.service && other.child?.isReady && !other.isPaused,
    )
  }

  /** Wakes a process that stops itself, as late as can be: once its successor has ended what it was at. */
  async #pause(instance: Instance, key: string): Promise<void> {
    const { child, service } = instance
    instance.isPaused = true
    this.#timeline.add('pause', service, key)
    const untilMs = performance.now() + PAUSE_MAX_MS
    while (!this.#hasEnded(key) && performance.now() < untilMs && instance.child === child)
      await sleep(LOOK_EVERY_MS)
    instance.isPaused = false
    child?.resume()
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
