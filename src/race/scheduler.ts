import { isHoldfastError } from '../core/errors.ts'
import { messageOf, tame } from '../core/thrown.ts'
import { placeOf, UncontrolledAwaitError } from './errors.ts'
import { runs } from './spin-watch.ts'
import { asNobody, type Op, type Step, Task } from './task.ts'
import { realNow, turn } from './virtual.ts'
import { deadlockError, type Waits } from './waits.ts'

/**
 * Chooses among the tasks that are ready; `last` is the one that took the step before, `unended` are all that have not ended, or
 * left a statement behind.
 * Undefined when whose turn it is cannot go on.
 */
export type Choose = (
  ready: readonly number[],
  last: number | undefined,
  at: number,
  unended: readonly number[],
) => number | undefined

export interface WaitEdge {
  readonly task: string
  readonly waitsFor: readonly string[]
  readonly statement: string
}

/** What followed from one choice. */
export interface Transition {
  /** Undefined for a task that began and asked for nothing, or that came to a yield point first. */
  readonly op: Op | undefined
  /** More than the chosen task moved: a wait ended, a limit passed, a deadlock was broken. */
  readonly shook: boolean
}

/** What one schedule did. */
export interface Run {
  readonly choices: readonly number[]
  /** Which tasks could have been chosen, per choice. */
  readonly ready: readonly (readonly number[])[]
  /** Per choice. */
  readonly transitions: readonly Transition[]
  readonly steps: readonly Step[]
  readonly results: readonly ({ readonly value: unknown } | { readonly error: unknown })[]
  readonly deadlock: readonly WaitEdge[] | undefined
}

export interface Plan {
  readonly names: readonly string[]
  readonly bodies: readonly (() => unknown)[]
  readonly random: (index: number) => () => number
  readonly waits: Waits
  /** How long a task may be without a step before it is given up. Milliseconds of real time. */
  readonly stallMs: number
}

/** A timer beyond this fires only when nothing else can happen: a limit for a wait, not a pause between two tries. */
const PAUSE_MS_MAX = 5_000
/** Turns of the event loop without a step, an answer or driver work, after which a task waits for another one's code. */
const IDLE_TURNS = 8
/** Steps after which a schedule is given up: a task that retries for ever is not explored to its end. */
const STEPS_MAX = 2_000

/** Limits that pass in one schedule; beyond them, tasks that wait are in a deadlock. */
const LIMITS_MAX = 50

/** How long the tasks of a failed schedule get to return their connections. */
const GIVE_UP_MS = 500

/**
 * Runs one schedule to its end: at most one task runs JavaScript at a time, and each choice is made only after every
 * statement that was sent is answered or known, from the server, to wait for a lock.
 */
export class Scheduler {
  readonly #plan: Plan
  readonly #tasks: Task[]
  readonly #waits: Waits
  readonly #steps: Step[] = []
  #deadlock: WaitEdge[] | undefined
  #limitsFired = 0
  /** Whose JavaScript runs, or ran last. */
  #running: Task | undefined
  readonly #choices: number[] = []
  readonly #started = new Set<Task>()

  constructor(plan: Plan) {
    this.#plan = plan
    this.#waits = plan.waits
    this.#tasks = plan.bodies.map(
      (_, index) => new Task(plan.names[index] as string, index, plan.random(index)),
    )
  }

  async run(choose: Choose): Promise<Run> {
    const choices = this.#choices
    const ready: number[][] = []
    const transitions: { op: Op | undefined; shook: boolean }[] = []
    const started = this.#started
    const listenAgain = this.#listenForEscapes()
    try {
      for (;;) {
        if (this.#steps.length > STEPS_MAX) {
          throw new UncontrolledAwaitError(`no end after ${STEPS_MAX} steps: does a task retry for ever?`)
        }
        const can = this.#tasks.filter((task) => !started.has(task) || this.#nextOp(task) !== undefined)
        const unended = this.#tasks.filter((task) => task.ended === undefined || can.includes(task))
        if (unended.length === 0) break
        const indices = can.map(indexOf)
        const index =
          can.length === 0 ? undefined : choose(indices, choices.at(-1), choices.length, unended.map(indexOf))
        if (index === undefined) {
          for (const last of transitions.slice(-1)) last.shook = true
          if ((await this.#fireLimit()) || (await this.#outwait())) continue
          await this.#breakDeadlock()
          continue
        }
        choices.push(index)
        ready.push(indices)
        const task = this.#tasks[index] as Task
        let op: Op | undefined
        if (started.has(task)) {
          op = this.#nextOp(task) as Op
          await this.#take(task, op)
        } else {
          started.add(task)
          this.#begin(task)
          await this.#settle(task)
          // Before its first statement a task has shared nothing: starting it is no step of its own. A yield point says that
          // it has.
          const first = this.#nextOp(task)
          if (first !== undefined && first.kind !== 'yield') {
            op = first
            await this.#take(task, op)
          }
        }
        transitions.push({ op, shook: await this.#wakeOthers() })
      }
      return {
        choices,
        ready,
        transitions,
        steps: this.#steps,
        results: this.#tasks.map(
          (task) => task.escaped ?? (task.ended as { value: unknown } | { error: unknown }),
        ),
        deadlock: this.#deadlock,
      }
    } catch (error) {
      await this.#giveUp()
      throw error
    } finally {
      listenAgain()
      for (const task of this.#tasks) task.closed = true
    }
  }

  /** Whose JavaScript runs or ran last, after which choices. */
  get now(): { readonly task: string | undefined; readonly choices: readonly number[] } {
    return { task: this.#running?.name, choices: this.#choices }
  }

  /** Leads the tasks of a failed schedule to their ends, so that connections go back to their pools. */
  async #giveUp(): Promise<void> {
    const sent = this.#tasks.flatMap((task) => task.sent)
    await this.#waits.cancel(sent.filter(({ answer }) => answer === undefined))
    for (const task of this.#tasks) {
      task.closed = true
      for (const op of [...task.pending.splice(0), ...task.sent.splice(0)]) {
        op.reject(new Error('the schedule was given up'))
      }
    }
    const began = realNow()
    while (this.#tasks.some((task) => task.ended === undefined) && realNow() - began < GIVE_UP_MS)
      await turn()
  }

  /**
   * A rejection that nobody handles, or an exception from a callback, is that of the task that ran last, since one runs at a
   * time: it fails by it, as its process would. The listeners of the process, such as a test runner's, are put back by the
   * returned function.
   */
  #listenForEscapes(): () => void {
    const note = (error: unknown): void => {
      if (this.#running !== undefined) this.#running.escaped ??= { error: tame(error) }
    }
    const undo = ESCAPES.map((event) => listenAlone(event, note))
    return () => {
      for (const step of undo) step()
    }
  }

  #begin(task: Task): void {
    this.#runs(task)
    task.run(this.#plan.bodies[task.index] as () => unknown)
  }

  #runs(task: Task): void {
    this.#running = task
    runs(task.index)
  }

  /** What the task would do next: the oldest statement, else the earliest timer that is a pause. */
  #nextOp(task: Task): Op | undefined {
    const others = task.pending.filter((op) => op.kind !== 'timer')
    const op = others.find((candidate) => candidate.enabled() && !this.#clientBusy(task, candidate))
    if (op !== undefined || others.length > 0 || task.sent.length > 0) return op
    const timer = earliest(task)
    // What an ended task left behind, such as a library's housekeeping, decides nothing.
    if (timer?.again === true || task.ended !== undefined) return undefined
    return timer !== undefined && (timer.dueMs ?? 0) - task.virtualMs <= PAUSE_MS_MAX ? timer : undefined
  }

  /** A connection works on one statement at a time; the next one of the same task waits in the driver's queue. */
  #clientBusy(task: Task, op: Op): boolean {
    return op.client !== undefined && task.sent.some((sent) => sent.client === op.client)
  }

  async #take(task: Task, op: Op): Promise<void> {
    task.pending.splice(task.pending.indexOf(op), 1)
    const step: Step = {
      number: this.#steps.length + 1,
      task: task.name,
      kind: op.kind,
      text: op.text,
      values: op.values,
      ...(op.with && { with: op.with }),
    }
    op.step = step
    this.#steps.push(step)
    task.sent.push(op)
    const sentAt = realNow()
    this.#waits.sent(task, op)
    op.settled = asNobody(() => op.send()).then(
      (value) => {
        op.answer = { value }
      },
      async (error: unknown) => {
        await this.#waits.failed(op)
        op.answer = { error }
      },
    )
    const blockers = await this.#waits.untilAnsweredOrBlocked(op, sentAt)
    if (blockers === undefined) await this.#hand(task, op)
    else step.waitedFor = blockers
  }

  /** Gives the answer to the task and lets its code run until it asks for the next thing, waits or ends. */
  async #hand(task: Task, op: Op): Promise<void> {
    const { answer, step } = op
    if (answer === undefined || step === undefined) return
    this.#runs(task)
    this.#waits.answered(op)
    task.sent.splice(task.sent.indexOf(op), 1)
    task.virtualMs += op.kind === 'statement' ? 1 : 0
    if ('error' in answer) {
      step.error = errorText(answer.error)
      op.reject(answer.error)
    } else {
      if (op.kind === 'statement') step.result = resultOf(answer.value)
      op.resolve(answer.value)
    }
    await this.#settle(task)
  }

  /**
   * After a completion: each waiter is answered, still blocked, or blocked by another one, before the next choice. True where
   * one was answered.
   */
  async #wakeOthers(): Promise<boolean> {
    let woke = false
    for (let again = true; again; ) {
      again = false
      for (const task of this.#tasks) {
        for (const op of [...task.sent]) {
          const blockers = await this.#waits.untilAnsweredOrBlocked(op, 0)
          if (blockers !== undefined) continue
          ;(op.step as Step).wokenAfter = this.#steps.length
          await this.#hand(task, op)
          again = true
          woke = true
        }
      }
    }
    // A task without a step of its own may have been resumed by another one's code.
    for (const task of this.#tasks) if (this.#isIdle(task)) await turn()
    return woke
  }

  #isIdle(task: Task): boolean {
    return task.ended === undefined && task.pending.length === 0 && task.sent.length === 0
  }

  async #settle(task: Task): Promise<void> {
    const began = realNow()
    await turn()
    for (let turns = 0; ; turns += 1) {
      const stray = task.strayed()
      if (stray !== undefined) throw uncontrolled(task, stray)
      const moving = [...task.exchanges].find((exchange) => exchange.isMoving())
      const busy = task.driverWork > 0 || task.working() !== undefined || moving !== undefined
      if (!busy && (task.ended !== undefined || task.pending.length > 0 || task.sent.length > 0)) return
      if (busy) turns = 0
      if (turns > IDLE_TURNS) return
      if (realNow() - began > this.#plan.stallMs) {
        const work = task.working()?.began ?? moving?.began
        throw uncontrolled(task, work ?? new Error('the driver did not answer'))
      }
      await turn()
    }
  }

  /** Nothing is ready: the earliest limit of a wait passes, where a task has set one. */
  async #fireLimit(): Promise<boolean> {
    if (this.#limitsFired >= LIMITS_MAX) return false
    this.#limitsFired += 1
    const timers = this.#tasks.flatMap((task) => {
      const timer = earliest(task)
      return timer === undefined ? [] : [{ task, timer, inMs: (timer.dueMs ?? 0) - task.virtualMs }]
    })
    const [next] = timers.sort((a, b) => a.inMs - b.inMs)
    if (next === undefined) return false
    await this.#take(next.task, next.timer)
    await this.#wakeOthers()
    return true
  }

  /**
   * All that is left may be an await that Node says nothing of, such as a message from a thread, under a lock that the others
   * wait for. True once a task that waits for no statement has gone on by itself.
   *
   * @throws UncontrolledAwaitError for a real timer: when it fires, no schedule says
   */
  async #outwait(): Promise<boolean> {
    const idle = [...this.#started].filter((task) => this.#isIdle(task))
    for (const task of idle) if (task.realTimer !== undefined) throw uncontrolled(task, task.realTimer)
    const began = realNow()
    while (idle.every((task) => this.#isIdle(task))) {
      if (idle.length === 0 || realNow() - began > this.#plan.stallMs) return false
      await turn()
    }
    for (const task of idle) if (!this.#isIdle(task)) await this.#settle(task)
    return true
  }

  /**
   * No task is ready and some are blocked: a deadlock. It is recorded, and the last one that began to wait gets the error
   * that the server's own detector gives after `deadlock_timeout`, at once.
   */
  async #breakDeadlock(): Promise<void> {
    const blocked = this.#tasks.flatMap((task) => task.sent.map((op) => ({ task, op })))
    const stuck = [...this.#started].filter((task) => task.ended === undefined)
    if (blocked.length === 0) {
      const waiting = stuck.flatMap((task) =>
        task.pending.map((op) => ({
          task: task.name,
          waitsFor: stuck.filter((t) => t !== task).map((t) => t.name),
          statement: op.text,
        })),
      )
      const names = stuck.map((task) => task.name).join(', ')
      if (waiting.length === 0) {
        for (const task of stuck) if (task.lasting !== undefined) throw uncontrolled(task, task.lasting)
        throw new UncontrolledAwaitError(
          `task ${names} waits for something that no task and no statement will give`,
        )
      }
      this.#deadlock ??= waiting
      for (const task of stuck) {
        for (const op of task.pending.splice(0))
          op.reject(deadlockError('the pool is exhausted by tasks that wait for it'))
        await this.#settle(task)
      }
      return
    }
    const edges = blocked.map(({ task, op }) => ({
      task: task.name,
      waitsFor: op.step?.waitedFor ?? [],
      statement: op.text,
    }))
    // Under a lock of the process, for example, that who is blocked in the database holds.
    const inMemory = stuck
      .filter((task) => this.#isIdle(task))
      .map((task) => ({
        task: task.name,
        waitsFor: edges.map((edge) => edge.task),
        statement: 'no statement: what it awaits is in memory, or the explorer does not govern it',
      }))
    this.#deadlock ??= [...edges, ...inMemory]
    const victim = blocked.sort((a, b) => (b.op.step?.number ?? 0) - (a.op.step?.number ?? 0))[0]
    if (victim === undefined) return
    await this.#waits.breakDeadlock(victim.op)
    await this.#hand(victim.task, victim.op)
    await this.#wakeOthers()
  }
}

const ESCAPES = ['unhandledRejection', 'uncaughtException'] as const

function listenAlone(event: (typeof ESCAPES)[number], listener: (error: unknown) => void): () => void {
  const others = process.rawListeners(event) as (typeof listener)[]
  process.removeAllListeners(event)
  process.on(event as 'uncaughtException', listener)
  return () => {
    process.off(event, listener)
    for (const other of others) process.on(event as 'uncaughtException', other)
  }
}

function indexOf({ index }: Task): number {
  return index
}

function earliest(task: Task): Op | undefined {
  return task.pending.filter((op) => op.kind === 'timer').sort((a, b) => (a.dueMs ?? 0) - (b.dueMs ?? 0))[0]
}

function uncontrolled(task: Task, began: Error): Error {
  // One of our own says more than that nothing governs it.
  if (isHoldfastError(began)) return began
  return new UncontrolledAwaitError(
    `task ${task.name} waits for something that the explorer does not govern (${began.message}${placeOf(began)}): keep such waits out of tasks, or replace them`,
    { cause: began },
  )
}

function errorText(thrown: unknown): string {
  const { code } = (tame(thrown) ?? {}) as { code?: unknown }
  return typeof code === 'string' ? `${code} ${messageOf(thrown)}` : messageOf(thrown)
}

// biome-ignore lint/suspicious/noExplicitAny: several statements in one string give several results
function resultOf(value: any): Step['result'] {
  const result = Array.isArray(value) ? value.at(-1) : value
  return { command: result?.command, rowCount: result?.rowCount, rows: (result?.rows ?? []).slice(0, 5) }
}
