import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ToProgram } from './program.ts'

/** Every child of this process, whichever run it belongs to, so that none outlives us. */
const children = new Set<ChildProcess>()

export function killAllProcesses(): void {
  for (const child of children) child.kill('SIGKILL')
}
process.once('exit', killAllProcesses)

const START_MS = 30_000

/** The program `name` as the module at `moduleUrl` finds it: compiled beside it, or its source where the source runs. */
export function programOf(moduleUrl: string, name: string): string {
  return fileURLToPath(new URL(`${name}.${moduleUrl.endsWith('.ts') ? 'ts' : 'js'}`, moduleUrl))
}

/** What a child has been started for, and who hears of it. */
export interface Life<Config, Message> {
  /** As an error names it: `the payment service`. */
  readonly name: string
  readonly config: Config
  /** Also the message `ready`, once `isReady` is true. */
  onMessage(message: Message): void
  /** Its process is gone. `killed`: by SIGKILL, while nobody had asked it to stop. */
  onEnd(killed: boolean): void
}

/**
 * A process that has loaded a program of ours (see `runAsChild`) and waits to be told by `start` what it is.
 *
 * It fails where it cannot be started, is not ready in time, or ends by itself other than by SIGKILL; the error then holds the
 * end of what it wrote to its standard error.
 */
export class Child<Config, Order, Message extends { kind: string }> {
  readonly #process: ChildProcess
  readonly #exited: Promise<void>
  readonly #fail: (error: Error) => void
  #life: Life<Config, Message> | undefined
  #late: NodeJS.Timeout | undefined
  #stderr = ''
  #ready = false
  #stopping = false

  constructor(program: string, fail: (error: Error) => void) {
    this.#fail = fail
    const child = fork(program, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    this.#process = child
    children.add(child)
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-4_000)
    })
    child.once('error', fail)
    child.on('message', (message: Message) => this.#hear(message))
    this.#exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        children.delete(child)
        this.#end(code, signal)
        resolve()
      })
    })
  }

  /** False again once its process is gone. */
  get isReady(): boolean {
    return this.#ready
  }

  start(life: Life<Config, Message>): void {
    this.#life = life
    this.#late = setTimeout(() => this.#failed(`did not start within ${START_MS} ms`), START_MS)
    this.#tell({ kind: 'start', config: life.config })
  }

  /** Does nothing where the process is gone. */
  send(order: Order): void {
    this.#tell({ kind: 'order', order })
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }

  /** Lets it go on where it has stopped itself by SIGSTOP. */
  resume(): void {
    this.#process.kill('SIGCONT')
  }

  /** Asks it to end, kills it where it has not within `withinMs`, and waits until it is gone. */
  async stop(withinMs: number): Promise<void> {
    this.#stopping = true
    const timer = setTimeout(() => this.kill(), withinMs)
    this.resume()
    this.#tell({ kind: 'stop' })
    await this.#exited
    clearTimeout(timer)
  }

  #hear(message: Message): void {
    if (message.kind === 'ready') {
      clearTimeout(this.#late)
      this.#ready = true
    }
    this.#life?.onMessage(message)
  }

  #end(code: number | null, signal: NodeJS.Signals | null): void {
    clearTimeout(this.#late)
    this.#ready = false
    this.#life?.onEnd(signal === 'SIGKILL' && !this.#stopping)
    if (signal !== 'SIGKILL' && !this.#stopping) this.#failed(`ended by itself (${code ?? signal})`)
  }

  #failed(what: string): void {
    this.#fail(new Error(`${this.#life?.name ?? 'a spare process'} ${what}\n${this.#stderr}`))
  }

  #tell(message: ToProgram<Config, Order>): void {
    if (this.#process.connected) this.#process.send(message, () => {})
  }
}
