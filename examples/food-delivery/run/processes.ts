import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ServiceConfig, ServiceMessage, ServiceOrder } from '../service.ts'
import { SERVICES, type ServiceName } from '../shared/domain.ts'
import type { Timeline } from './timeline.ts'

/** Every child of this process, whichever run it belongs to, so that none outlives us. */
const children = new Set<ChildProcess>()

export function killAllProcesses(): void {
  for (const child of children) child.kill('SIGKILL')
}
process.once('exit', killAllProcesses)

/** The program of a service: compiled beside this file, or its source where the source runs. */
const PROGRAM = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../service.ts' : '../service.js', import.meta.url),
)
const START_MS = 20_000
const STOP_MS = 1_500

/** The four service processes of one run: starts them, starts the killed ones again, knows where they listen. */
export class Processes {
  readonly #config: (service: ServiceName, life: number) => ServiceConfig
  readonly #timeline: Timeline
  readonly #running = new Map<ServiceName, Running>()
  readonly #listening = new Map<ServiceName, string>()
  #spare: Spawned | undefined
  #stopping = false
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
    for (const service of SERVICES) this.#startService(service, 1)
    await Promise.race([Promise.all(SERVICES.map((s) => this.#running.get(s)?.ready)), this.failed])
  }

  /** Where a service listens; undefined while it is down. */
  url(service: ServiceName): string | undefined {
    return this.#listening.get(service)
  }

  kill(service: ServiceName): void {
    const running = this.#running.get(service)
    // One that is still starting has nothing to lose yet; killing it again and again would only keep it down.
    if (running === undefined || !this.#listening.has(service)) return
    running.child.kill('SIGKILL')
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
    this.#stopping = true
    this.#spare?.child.kill('SIGKILL')
    await Promise.all(
      [...this.#running.values()].map(async ({ child, exited }) => {
        const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
        send(child, { kind: 'stop' })
        await exited
        clearTimeout(timer)
      }),
    )
    await this.#spare?.exited
    if (this.#failure !== undefined) throw this.#failure
  }

  /**
   * A process that has loaded its program and waits to be told which service it is. One more is always kept ready, as a
   * standby would be, so that a killed service is away for as long as its leases run and not for the start of Node.
   */
  #spawn(): Spawned {
    const child = fork(PROGRAM, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    children.add(child)
    const spawned: Spawned = {
      child,
      stderr: '',
      exited: new Promise((resolve) => {
        child.once('close', () => {
          children.delete(child)
          resolve()
        })
      }),
    }
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      spawned.stderr = (spawned.stderr + text).slice(-4_000)
    })
    child.once('error', (error) => this.#fail(error))
    return spawned
  }

  #startService(service: ServiceName, life: number): void {
    const spawned = this.#spare ?? this.#spawn()
    this.#spare = undefined
    const { child } = spawned
    let ready!: () => void
    const answers: ((inHand: number) => void)[] = []
    const running: Running = {
      ...spawned,
      ready: new Promise((resolve) => {
        ready = resolve
      }),
      askInHand: () =>
        new Promise((resolve) => {
          if (!child.connected) resolve(Number.POSITIVE_INFINITY)
          answers.push(resolve)
          send(child, { kind: 'in-hand' })
        }),
    }
    this.#running.set(service, running)
    const late = setTimeout(() => {
      this.#fail(new Error(`the ${service} service did not start within ${START_MS} ms\n${spawned.stderr}`))
    }, START_MS)
    child.on('message', (message: ServiceMessage) => {
      if (message.kind === 'listening') {
        clearTimeout(late)
        this.#listening.set(service, `http://127.0.0.1:${message.port}`)
        if (life > 1) this.#timeline.add('up', service)
        ready()
      } else if (message.kind === 'in-hand') {
        answers.shift()?.(message.count ?? Number.POSITIVE_INFINITY) // Infinity has no JSON form
      } else {
        this.#timeline.add(message.fault.kind, service, message.fault.detail)
      }
    })
    const onGone = (): void => {
      clearTimeout(late)
      for (const answer of answers.splice(0)) answer(Number.POSITIVE_INFINITY)
      this.#listening.delete(service)
      if (this.#stopping) return
      const { exitCode, signalCode } = child
      if (signalCode === 'SIGKILL') {
        this.#timeline.add('kill', service)
        this.#startService(service, life + 1)
      } else {
        this.#fail(
          new Error(`the ${service} service ended by itself (${exitCode ?? signalCode})\n${spawned.stderr}`),
        )
      }
    }
    child.once('exit', onGone)
    send(child, { kind: 'start', config: this.#config(service, life) })
    this.#spare = this.#spawn()
  }
}

function send(child: ChildProcess, order: ServiceOrder): void {
  if (child.connected) child.send(order, () => {})
}

interface Spawned {
  readonly child: ChildProcess
  readonly exited: Promise<void>
  stderr: string
}

interface Running extends Spawned {
  readonly ready: Promise<void>
  askInHand(): Promise<number>
}
