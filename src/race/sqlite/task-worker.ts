import { Worker } from 'node:worker_threads'
import { type ErrorReport, errorOf } from '../error-report.ts'
import { currentTask, type Op, type Task } from '../task.ts'
import {
  CONTINUE,
  type FromWorker,
  GIVE_UP,
  GO,
  isBusy,
  type ToWorker,
  type WorkerStart,
} from './protocol.ts'

type Done = Extract<FromWorker, { kind: 'done' }>

/** What a statement that the file was too busy for gives in place of an answer. */
export const BUSY: unique symbol = Symbol('busy')

/** The scheduler's side of one task's thread: what the thread asks for are ops of its task here. */
export class TaskWorker {
  /** A transaction of the task is open on one of its handles, as of its last statement. */
  inTransaction = false
  /** Its last statement left no transaction open on its handle, and so may have let somebody go. */
  letGo = false
  /** The task was told that the file is locked, and nobody has let it go since. */
  refused = false
  /** The task has begun and not ended: some drivers hold a read lock until a statement is run again. */
  running = false
  /** Its wait was one of a circle, and ended with the SQLITE_BUSY that comes when the busy timeout has passed. */
  deadlocked = false
  readonly #worker: Worker
  readonly #signal: Int32Array
  readonly #virtualMs: Float64Array
  readonly #ready: Promise<void>
  #task: Task | undefined
  #done: ((done: Done) => void) | undefined
  #end: { resolve(value: unknown): void; reject(error: unknown): void } | undefined
  #reset: (() => void) | undefined
  #failed: Error | undefined

  constructor(start: Omit<WorkerStart, 'signal' | 'virtualMs'>) {
    this.#signal = new Int32Array(new SharedArrayBuffer(4))
    this.#virtualMs = new Float64Array(new SharedArrayBuffer(8))
    const workerData: WorkerStart = { ...start, signal: this.#signal, virtualMs: this.#virtualMs }
    const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js'
    this.#worker = new Worker(new URL(file, import.meta.url), { workerData })
    this.#ready = new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        this.#failed = error
        reject(error)
        this.#end?.reject(error)
        if (this.#task !== undefined) this.#task.driverWork = 0
      }
      this.#worker.on('message', (message: FromWorker) => {
        if (message.kind === 'ready') resolve()
        else if (message.kind === 'failed') fail(errorOf(message.error))
        else this.#hear(message)
      })
      this.#worker.on('error', fail)
      this.#worker.on('exit', () => fail(new Error(`the thread of task ${start.task} has ended`)))
    })
    this.#ready.catch(() => {})
  }

  /** The file is loaded. @throws what loading it throws */
  ready(): Promise<void> {
    return this.#ready
  }

  /** Runs the task in its thread, as the current task of this one. */
  run(seed: number): Promise<unknown> {
    if (this.#failed !== undefined) throw this.#failed
    const task = currentTask.getStore() as Task
    this.#task = task
    this.running = true
    this.refused = false
    this.deadlocked = false
    Atomics.store(this.#signal, 0, 0)
    const ended = new Promise((resolve, reject) => {
      this.#end = { resolve, reject }
    })
    this.#tell(task, { kind: 'run', seed })
    return ended
  }

  /** Rolls back what the task left open. */
  async reset(): Promise<void> {
    if (!this.inTransaction || this.#failed !== undefined) return
    this.inTransaction = false
    await new Promise<void>((resolve) => {
      this.#reset = resolve
      this.#post({ kind: 'reset' })
    })
  }

  async end(): Promise<void> {
    this.#worker.removeAllListeners()
    await this.#worker.terminate()
  }

  #hear(message: Exclude<FromWorker, { kind: 'ready' | 'failed' }>): void {
    const task = this.#task
    if (message.kind === 'reset') this.#reset?.()
    if (message.kind === 'done') {
      this.inTransaction = message.holds
      const busy = message.busy || (message.error !== undefined && isBusy(message.error.fields))
      this.letGo = !message.open && !busy
      if (busy) this.refused = true
      this.#done?.(message)
    }
    if (task === undefined || message.kind === 'reset' || message.kind === 'done') return
    task.driverWork = 0
    if (message.kind === 'ended' || message.kind === 'threw') this.running = false
    if (message.kind === 'ask') this.#ask(task, message.text, message.values)
    else if (message.kind === 'ended') this.#end?.resolve(message.value)
    else if (message.kind === 'threw') this.#end?.reject(this.#errorOf(message.error))
    else if (message.kind === 'uncontrolled') task.uncontrolled = errorOf(message.error)
    else {
      task.lasting = message.lasting && errorOf(message.lasting)
      this.#arm(task, message.timers)
    }
  }

  #errorOf(report: ErrorReport): Error {
    const error = errorOf(report)
    return this.deadlocked && isBusy(error) ? Object.assign(error, { deadlock: true }) : error
  }

  #ask(task: Task, text: string, values: readonly unknown[]): void {
    task.pending.splice(0)
    const go = (): Promise<unknown> =>
      new Promise((resolve, reject) => {
        this.#done = (done) => {
          if (done.busy) resolve(BUSY)
          else if (done.error !== undefined) reject(errorOf(done.error))
          else
            resolve({
              rows: done.rows,
              rowCount: done.rowCount,
              command: /^\w+/.exec(text)?.[0]?.toUpperCase(),
            })
        }
        this.#signalTo(task, GO)
      })
    task
      .ask({ kind: 'statement', text, values, enabled: () => true, send: go })
      // Its own error the thread has kept; it only has to go on.
      .then(
        () => this.#goOn(task),
        () => (task.closed ? this.#signalTo(task, GIVE_UP) : this.#goOn(task)),
      )
  }

  #arm(task: Task, timers: Extract<FromWorker, { kind: 'idle' }>['timers']): void {
    // Code that pauses in order to try again could only be refused once more: it waits as SQLite itself would.
    const isRefused = (): boolean => this.refused
    const ops = timers.map(
      ({ text, dueMs, again }, at): Op => ({
        kind: 'timer',
        text,
        values: [],
        dueMs,
        get again() {
          return again || isRefused()
        },
        enabled: () => true,
        send: async () => {},
        resolve: () => {
          this.#tell(task, { kind: 'fire', at })
          task.virtualMs = Math.max(task.virtualMs, dueMs)
          task.pending.splice(0)
        },
        reject: () => {},
      }),
    )
    task.pending.splice(0, task.pending.length, ...ops)
  }

  #goOn(task: Task): void {
    task.driverWork = 1
    this.#signalTo(task, CONTINUE)
  }

  #tell(task: Task, message: ToWorker): void {
    task.driverWork = 1
    this.#virtualMs[0] = task.virtualMs
    this.#post(message)
  }

  #signalTo(task: Task, signal: number): void {
    this.#virtualMs[0] = task.virtualMs
    Atomics.store(this.#signal, 0, signal)
    Atomics.notify(this.#signal, 0)
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message)
  }
}
