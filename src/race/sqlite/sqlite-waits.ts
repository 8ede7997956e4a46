import { UncontrolledAwaitError } from '../errors.ts'
import type { Op, Task } from '../task.ts'
import { realNow } from '../virtual.ts'
import { settledWithin, unanswered, type Waits } from '../waits.ts'
import { BUSY, type TaskWorker } from './task-worker.ts'

export interface SqliteWaitsParts {
  readonly names: readonly string[]
  readonly workers: readonly TaskWorker[]
  readonly stallMs: number
  readonly blockedAfterMs: number[]
}

/**
 * Waits on SQLite: a statement that finds the file locked is one that waits, and is tried again when a transaction has
 * ended. Nothing is asked: SQLite answers at once.
 */
export class SqliteWaits implements Waits {
  readonly #parts: SqliteWaitsParts
  readonly #taskOf = new Map<Op, Task>()
  /** How many statements left no transaction open, and so may have let somebody go. */
  #ends = 0
  /** Statements that were refused, and `#ends` at that time. */
  readonly #busyAt = new WeakMap<Op, number>()

  constructor(parts: SqliteWaitsParts) {
    this.#parts = parts
  }

  sent(task: Task, op: Op): void {
    this.#taskOf.set(op, task)
  }

  async failed(): Promise<void> {}

  answered(op: Op): void {
    const task = this.#taskOf.get(op)
    this.#taskOf.delete(op)
    if (task === undefined || op.kind !== 'statement' || !this.#workerOf(task).letGo) return
    this.#ends += 1
    for (const worker of this.#parts.workers) worker.refused = false
  }

  async untilAnsweredOrBlocked(op: Op, sentAt: number): Promise<readonly string[] | undefined> {
    if (op.answer === undefined && sentAt === 0) {
      if (this.#busyAt.get(op) === this.#ends) return op.step?.waitedFor ?? []
      op.settled = op.send().then(
        (value) => {
          op.answer = { value }
        },
        (error: unknown) => {
          op.answer = { error }
        },
      )
    }
    const { names, workers, stallMs } = this.#parts
    if (!(await settledWithin(op, stallMs))) throw unanswered(op, stallMs)
    if (op.answer === undefined || !('value' in op.answer) || op.answer.value !== BUSY) return undefined
    delete op.answer
    this.#busyAt.set(op, this.#ends)
    const task = this.#taskOf.get(op)
    const others = (holds: (worker: TaskWorker) => boolean): string[] =>
      names.filter((name, index) => name !== task?.name && holds(workers[index] as TaskWorker))
    const inTransaction = others((worker) => worker.inTransaction)
    const holders = inTransaction.length > 0 ? inTransaction : others((worker) => worker.running)
    if (holders.length === 0) {
      throw new UncontrolledAwaitError(
        `"${op.text}" finds the file locked, and by no other task: this one has it by another connection, another process has it, or a driver keeps the lock of a read (libsql does after get, where the journal is not WAL)`,
      )
    }
    if (sentAt > 0) this.#parts.blockedAfterMs.push(realNow() - sentAt)
    return holders
  }

  /** The busy timeout passes: the task gets the SQLITE_BUSY that its thread has kept. */
  async breakDeadlock(op: Op): Promise<void> {
    const task = this.#taskOf.get(op)
    if (task !== undefined) this.#workerOf(task).deadlocked = true
    op.answer = { error: Object.assign(new Error('database is locked'), { code: 'SQLITE_BUSY' }) }
  }

  /** A thread that waits in a statement is let go when its op is rejected. */
  async cancel(): Promise<void> {}

  #workerOf(task: Task): TaskWorker {
    return this.#parts.workers[task.index] as TaskWorker
  }
}
