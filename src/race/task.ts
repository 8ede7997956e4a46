import { AsyncLocalStorage } from 'node:async_hooks'
import type { Companions } from '../core/index.ts'
import { tame } from '../core/thrown.ts'
import type { ForeignWork } from './foreign-work.ts'

/** Who is calling: set where a task starts, and again where a driver's callback enters the task's code. */
export const currentTask = new AsyncLocalStorage<Task>()

/** Runs `use` as nobody's task: what the driver does for itself is not a step of the user's code. */
export function asNobody<T>(use: () => T): T {
  return currentTask.exit(use)
}

/** The part of pg's Client that the explorer uses beyond queries. */
export interface DriverClient {
  readonly processID?: number | null
  /** False while the server works. What the driver keeps under its own names may be missing. */
  readonly readyForQuery?: boolean
  readonly _ending?: boolean
  readonly _ended?: boolean
  /** 'I' outside of a transaction. Older drivers do not say. */
  getTransactionStatus?(): string | null
}

export type StepKind = 'start' | 'statement' | 'checkout' | 'timer' | 'yield'

/** Something that a task asked for and that the scheduler decides when to do. */
export interface Op {
  readonly kind: StepKind
  readonly text: string
  readonly values: readonly unknown[]
  readonly client?: DriverClient
  /** The task itself took this connection from a pool, or opened it. */
  readonly own?: boolean
  /** Commands that go out with it, in one flight. */
  readonly with?: Companions
  /** A cursor: it goes on reading after it was answered. */
  readonly lazy?: boolean
  /** Milliseconds of virtual time after which a timer may fire. */
  readonly dueMs?: number
  /** A timer of `setInterval`: housekeeping more often than a step, so it fires only when nothing else can happen. */
  readonly again?: boolean
  /** False while doing it could only wait, as a checkout from an exhausted pool. */
  enabled(): boolean
  /** Does it; the promise settles when the world has answered. */
  send(): Promise<unknown>
  resolve(value: unknown): void
  reject(error: unknown): void
  /** Once sent: what came back, held until the scheduler hands it to the task. */
  answer?: { readonly value: unknown } | { readonly error: unknown }
  /** Once sent: fulfils when `answer` is there. */
  settled?: Promise<void>
  /** The step in the trace, once sent. */
  step?: Step
}

/** One line of the trace. */
export interface Step {
  readonly number: number
  readonly task: string
  readonly kind: StepKind
  readonly text: string
  readonly values: readonly unknown[]
  /** Commands that went out with it, such as its BEGIN. */
  readonly with?: Companions
  /** Rows read or written, an error, or undefined while no answer came. */
  result?:
    | {
        readonly command?: string
        readonly rowCount?: number | null
        readonly rows?: readonly unknown[]
      }
    | undefined
  error?: string
  /** Tasks that it waited for, where the database made it wait. */
  waitedFor?: readonly string[]
  /** The number of the step after which the wait ended. */
  wokenAfter?: number
}

/**
 * A task of one schedule.
 *
 * It is *runnable* while an op of `pending` is enabled, *blocked* while an op of `sent` has no answer, *idle* when it has
 * neither and has not ended (it waits for another task's JavaScript), and ended once `ended` is set.
 */
export class Task {
  readonly name: string
  readonly index: number
  readonly pending: Op[] = []
  readonly sent: Op[] = []
  /** Operations of the driver in flight that are not steps, such as opening a connection. */
  driverWork = 0
  /** Node's own work that it has begun, by async id. */
  readonly foreign = new Map<number, ForeignWork>()
  uncontrolled: Error | undefined
  /** The last timer that it has not from the explorer: taken before the search, as by `promisify(setTimeout)`. */
  realTimer: Error | undefined
  /** The last of what it began that may speak at any time and that nothing here listens to: a thread, a watched file. */
  lasting: Error | undefined
  /** Connections that were begun; where they lead is known a moment later. */
  readonly connecting: { readonly began: Error; isHere(): boolean }[] = []
  /** Requests to servers of this process that are under way. */
  readonly exchanges = new Set<{ readonly began: Error; isMoving(): boolean }>()
  ended: { readonly value: unknown } | { readonly error: unknown } | undefined
  /** What a promise was rejected with that it let go of. In a service this ends the process. */
  escaped: { readonly error: unknown } | undefined
  virtualMs = 0
  random: () => number
  /** True once the schedule was given up: its code is led to an end. */
  closed = false
  #refused = 0

  constructor(name: string, index: number, random: () => number) {
    this.name = name
    this.index = index
    this.random = random
  }

  /** Called where the task's code enters the driver. Resolves when the scheduler has done it. */
  ask(op: Omit<Op, 'resolve' | 'reject'>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.closed) {
        this.#askClosed(op, resolve, reject)
        return
      }
      this.pending.push({ ...op, resolve, reject })
    })
  }

  /**
   * The schedule was given up. A ROLLBACK still goes out, so that no connection returns to its pool inside a transaction;
   * everything else is refused, and a task that asks for ever is left waiting.
   */
  #askClosed(
    op: Pick<Op, 'text' | 'send'>,
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
  ): void {
    this.#refused += 1
    if (/^rollback\b/i.test(op.text)) op.send().then(resolve, reject)
    else if (this.#refused < 100) reject(new Error('the schedule was given up'))
  }

  /** What it awaits and nothing here governs: a connection that leads out of the process is one. */
  strayed(): Error | undefined {
    for (const { began, isHere } of this.connecting.splice(0)) if (!isHere()) this.uncontrolled ??= began
    return this.uncontrolled
  }

  /** Work of Node's that it has under way, and that ends by itself. */
  working(): ForeignWork | undefined {
    for (const work of this.foreign.values()) if (work.isUnderWay()) return work
    return undefined
  }

  run(body: () => unknown): void {
    currentTask.run(this, () => {
      Promise.resolve()
        .then(body)
        .then(
          (value) => {
            this.ended = { value }
          },
          (error: unknown) => {
            this.ended = { error: tame(error) }
          },
        )
    })
  }
}
