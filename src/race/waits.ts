import { UncontrolledAwaitError } from './errors.ts'
import type { Op, Task } from './task.ts'

/** What the scheduler has to know of a database: whether what was sent is answered, or held up and by whom. One schedule. */
export interface Waits {
  /** The statement is about to be sent. */
  sent(task: Task, op: Op): void
  /** The database answered with an error: fulfils when it has also done what follows from that. */
  failed(op: Op): Promise<void>
  /** The answer is about to be handed to the task. */
  answered(op: Op): void
  /**
   * Undefined once `op.answer` is there; else the tasks that hold it up, once the database says that somebody does.
   * `sentAt` is zero for a statement that was known to wait, asked about again.
   * @throws UncontrolledAwaitError when neither is known after `stallMs`
   */
  untilAnsweredOrBlocked(op: Op, sentAt: number): Promise<readonly string[] | undefined>
  /** Ends the wait of a statement that is blocked, as the database ends a deadlock: `op.answer` is there afterwards. */
  breakDeadlock(op: Op): Promise<void>
  /** Ends whatever these statements wait for: the schedule is given up. */
  cancel(ops: readonly Op[]): Promise<void>
}

/** Whether the answer came within this time. No turn of the event loop is spent meanwhile. */
export async function settledWithin(op: Op, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([op.settled, late])
  clearTimeout(timer)
  return op.answer !== undefined
}

/** No task stands in its way, so no schedule would end the wait. */
export function unanswered(op: Op, ms: number): UncontrolledAwaitError {
  return new UncontrolledAwaitError(
    `"${op.text}" got no answer within ${ms} ms, and no task holds it up: it takes that long, or it waits for a session that is not one of the tasks`,
  )
}

/** What the driver would raise: code that retries a deadlock finds the SQLSTATE that it looks for. */
export function deadlockError(message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code: '40P01', severity: 'ERROR', name: 'error' })
}
