import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { errorOf } from '../error-report.ts'
import { RaceWorkerLostError } from '../errors.ts'
import type { FromWorker, ToWorker, WorkerStart } from './protocol.ts'

/** Flags of Node that a process needs in order to load the same files. */
const KEPT_FLAGS = /^--(experimental-|no-experimental-|conditions=|import=|require=)/
/** How long a process gets to end by itself. */
const END_MS = 2_000

interface Waiting {
  resolve(answer: FromWorker): void
  reject(error: Error): void
}

/** The search's side of one process. */
export class Worker {
  readonly #child: ChildProcess
  /** In the order of what was asked. */
  readonly #waiting: Waiting[] = []
  readonly #exited: Promise<void>
  #lost: Error | undefined
  #ending = false

  constructor(index: number) {
    const file = import.meta.url.endsWith('.ts') ? './child.ts' : './child.js'
    this.#child = fork(fileURLToPath(new URL(file, import.meta.url)), [], {
      execArgv: process.execArgv.filter((flag) => KEPT_FLAGS.test(flag)),
      serialization: 'advanced',
      // What the user's code prints is not part of the report.
      stdio: ['ignore', 2, 2, 'ipc'],
    })
    this.#exited = new Promise((resolve) => {
      const end = (how: string): void => {
        this.#lose(
          new RaceWorkerLostError(`worker ${index + 1} of the search ended (${how}) before it had answered`),
        )
        resolve()
      }
      this.#child.once('error', (error) => end(error.message))
      this.#child.once('exit', (code, signal) => {
        const ended = (): void => end(signal ?? `exit code ${code}`)
        // What it said last is heard before.
        if (this.#child.connected) this.#child.once('disconnect', ended)
        else ended()
      })
    })
    this.#child.on('message', (answer: FromWorker) => {
      const waiting = this.#waiting.shift()
      if (answer.kind === 'failed') waiting?.reject(errorOf(answer.error))
      else waiting?.resolve(answer)
    })
  }

  /** How many questions are not answered. */
  get load(): number {
    return this.#waiting.length
  }

  start(start: WorkerStart): Promise<FromWorker> {
    return this.ask({ kind: 'start', start })
  }

  /** @throws RaceWorkerLostError when the process has ended; what the worker failed with */
  ask(message: ToWorker): Promise<FromWorker> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.tell(message)
    })
  }

  /** What is not answered. */
  tell(message: ToWorker): void {
    if (this.#lost !== undefined) return
    this.#child.send(message, (error) => {
      if (error !== null) this.#child.kill('SIGKILL')
    })
  }

  #lose(error: Error): void {
    if (this.#ending || this.#lost !== undefined) return
    this.#lost = error
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  /** Twice is fine. */
  async end(): Promise<void> {
    this.#ending = true
    if (this.#child.connected) this.#child.disconnect()
    const late = setTimeout(() => this.#child.kill('SIGKILL'), END_MS)
    await this.#exited
    clearTimeout(late)
  }
}
