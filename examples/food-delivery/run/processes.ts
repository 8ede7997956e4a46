import { Child, programOf } from '../process/child.ts'
import type { ServiceConfig, ServiceMessage, ServiceOrder } from '../service.ts'
import { SERVICES, type ServiceName } from '../shared/domain.ts'
import type { Timeline } from './timeline.ts'

const PROGRAM = programOf(import.meta.url, '../service')
const STOP_MS = 1_500

interface Running {
  readonly child: ServiceProcess
  askInHand(): Promise<number>
}

type ServiceProcess = Child<ServiceConfig, ServiceOrder, ServiceMessage>

/** The four service processes of one run: starts them, starts the killed ones again, knows where they listen. */
export class Processes {
  readonly #config: (service: ServiceName, life: number) => ServiceConfig
  readonly #timeline: Timeline
  readonly #running = new Map<ServiceName, Running>()
  readonly #listening = new Map<ServiceName, string>()
  #spare: ServiceProcess | undefined
  #failure: Error | undefined
  /** Fulfils never; rejects when a service cannot be kept alive. */
  readonly failed: Promise<never>
  #fail!: (error: Error) => void

  constructor(config: (service: ServiceName, life: number) => ServiceConfig, timeline: Timeline) {
    this.#config = config
    this.#timeline = timeline
    this.failed = new Promise((_, reject) => {
      this.#fail = reject
    })
    this.failed.catch((error: Error) => {
      this.#failure = error
    })
  }

  /** Starts all four and waits until they listen. */
  async start(): Promise<void> {
    await Promise.race([Promise.all(SERVICES.map((service) => this.#startService(service, 1))), this.failed])
  }

  /** Where a service listens; undefined while it is down. */
  url(service: ServiceName): string | undefined {
    return this.#listening.get(service)
  }

  kill(service: ServiceName): void {
    const child = this.#running.get(service)?.child
    // One that is still starting has nothing to lose yet; killing it again and again would only keep it down.
    if (child?.isReady) child.kill()
  }

  /** What each service has in hand: handlers, held-back messages, unsent events. Infinity for one that is down. */
  async inHand(): Promise<number> {
    const counts = await Promise.all(
      SERVICES.map((service) => {
        const running = this.#running.get(service)
        if (running === undefined || !this.#listening.has(service)) return Number.POSITIVE_INFINITY
        return running.askInHand()
      }),
    )
    return counts.reduce((a, b) => a + b, 0)
  }

  /** Ends all of them, politely at first. */
  async stop(): Promise<void> {
    await Promise.all([
      ...[...this.#running.values()].map(({ child }) => child.stop(STOP_MS)),
      this.#spare?.stop(0),
    ])
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Fulfils when it listens. */
  #startService(service: ServiceName, life: number): Promise<void> {
    const child = this.#spare ?? this.#spawn()
    const answers: ((inHand: number) => void)[] = []
    this.#running.set(service, {
      child,
      askInHand: () =>
        new Promise((resolve) => {
          answers.push(resolve)
          child.send({ kind: 'in-hand' })
        }),
    })
    const ready = new Promise<void>((resolve) => {
      child.start({
        name: `the ${service} service`,
        config: this.#config(service, life),
        onMessage: (message) => {
          if (message.kind === 'ready') {
            this.#listening.set(service, `http://127.0.0.1:${message.port}`)
            if (life > 1) this.#timeline.add('up', service)
            resolve()
          } else if (message.kind === 'in-hand') {
            answers.shift()?.(message.count ?? Number.POSITIVE_INFINITY) // Infinity has no JSON form
          } else {
            this.#timeline.add(message.fault.kind, service, message.fault.detail)
          }
        },
        onEnd: (killed) => {
          for (const answer of answers.splice(0)) answer(Number.POSITIVE_INFINITY)
          this.#listening.delete(service)
          if (!killed) return
          this.#timeline.add('kill', service)
          void this.#startService(service, life + 1)
        },
      })
    })
    // One more is always kept ready, as a standby would be, so that a killed service is away for as long as its leases run
    // and not for the start of Node.
    this.#spare = this.#spawn()
    return ready
  }

  #spawn(): ServiceProcess {
    return new Child(PROGRAM, this.#fail)
  }
}
