import type { RawClient } from './intercept-pg.ts'
import { LockWatch, type Pace } from './lock-watch.ts'
import type { Op, Task } from './task.ts'
import { realNow, turn } from './virtual.ts'
import { deadlockError, settledWithin, unanswered, type Waits } from './waits.ts'

export interface PgWaitsParts {
  readonly control: RawClient
  readonly stallMs: number
  /** Milliseconds from sending a statement to knowing that it is blocked, one entry each. */
  readonly blockedAfterMs: number[]
  /** Shared by the schedules of one exploration. */
  readonly pace: Pace
}

/** A statement that nobody was seen to stand in the way of is asked about after this: a lock may hide in a function. */
const HIDDEN_MS = 50

/** Waits on PostgreSQL: the server is asked who waits for whom, where somebody can. */
export class PgWaits implements Waits {
  readonly #parts: PgWaitsParts
  readonly #locks: LockWatch

  constructor(parts: PgWaitsParts) {
    this.#parts = parts
    this.#locks = new LockWatch(parts.control)
  }

  rollBackLeft(): Promise<void> {
    return this.#locks.rollBackLeft()
  }

  sent(task: Task, op: Op): void {
    this.#locks.sent(task.name, op)
  }

  /**
   * The server sends an error before it releases the locks of the transaction that failed. Only when it is ready again is a
   * waiter that is let go no longer seen to wait, and a replay exact. A connection that is lost is never ready.
   */
  async failed({ client }: Op): Promise<void> {
    const began = realNow()
    while (client?.readyForQuery === false && client._ended !== true && client._ending !== true) {
      if (realNow() - began > this.#parts.stallMs) return
      await turn()
    }
  }

  answered(op: Op): void {
    this.#locks.answered(op)
  }

  async untilAnsweredOrBlocked(op: Op, sentAt: number): Promise<readonly string[] | undefined> {
    const { stallMs, pace } = this.#parts
    const { processID } = op.client ?? {}
    const again = sentAt === 0
    if (again && op.answer === undefined && this.#locks.stillWaits(op)) return op.step?.waitedFor ?? []
    const began = realNow()
    const hidden = processID == null || !(again || pace.hidden || this.#locks.mayWait(op))
    if (hidden) {
      if (await settledWithin(op, processID == null ? stallMs : Math.min(HIDDEN_MS, stallMs)))
        return undefined
      if (processID == null) throw unanswered(op, stallMs)
    }
    const lookAfterMs = hidden || again ? 0 : pace.lookAfterMs(op.text)
    for (;;) {
      if (op.answer !== undefined) {
        if (!again) pace.answered(op.text, realNow() - sentAt)
        return undefined
      }
      if (realNow() - began > stallMs) throw unanswered(op, stallMs)
      // Looking costs the server time, so a quick answer is waited for first.
      if (realNow() - began < lookAfterMs) await turn()
      else {
        const blockers = await this.#locks.blockers(op, processID)
        if (blockers === undefined || op.answer !== undefined) continue
        if (!again) {
          pace.blocked(op.text, hidden)
          this.#parts.blockedAfterMs.push(realNow() - sentAt)
        }
        return blockers
      }
    }
  }

  async breakDeadlock(op: Op): Promise<void> {
    await this.cancel([op])
    if (!(await settledWithin(op, this.#parts.stallMs))) throw unanswered(op, this.#parts.stallMs)
    if (op.answer !== undefined && 'error' in op.answer) {
      op.answer = { error: deadlockError('deadlock detected', op.answer.error) }
    }
  }

  async cancel(ops: readonly Op[]): Promise<void> {
    for (const { client } of ops) {
      if (client?.processID == null) continue
      await this.#parts.control.query('select pg_catalog.pg_cancel_backend($1)', [client.processID])
    }
  }
}
