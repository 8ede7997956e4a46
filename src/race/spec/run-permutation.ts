import { systemClock } from '../../core/index.ts'
import type { IsBlocked } from './blocked.ts'
import { SpecFailedError } from './errors.ts'
import { printTable } from './print-table.ts'
import { primaryOf } from './server-message.ts'
import type { Blocker, Permutation, PermutationStep } from './spec.ts'
import type { SpecConnection, StatementResult } from './spec-connection.ts'

export interface PermutationRun {
  /** One per session, in the order of the spec. */
  readonly sessions: readonly SpecConnection[]
  readonly isBlocked: IsBlocked
  /** Cancels what a session runs. */
  cancel(processId: number): Promise<void>
  out(text: string): void
  /** After so long a step is cancelled; after twice as long the run is given up. */
  readonly stepTimeoutMs: number
}

/** How long an answer is waited for before the server is asked, again, whether the session waits for a lock. */
const POLL_MS = 1

/** A step that was sent and is not yet reported as completed. */
interface Active {
  readonly of: PermutationStep
  readonly connection: SpecConnection
  readonly sentAtMs: number
  /** Notices that a session has to have sent in all, per blocker of that kind. */
  readonly noticesWanted: ReadonlyMap<Blocker, number>
  cancelled: boolean
}

/**
 * Runs the steps of one permutation and writes what the tester writes about them.
 *
 * A step is sent when the steps before it in its session are reported as completed and the one before it in the
 * permutation is completed or waits. After each step every waiting one is looked at again, oldest first, since the step
 * may have let it go on.
 * @returns how many steps were seen to wait
 * @throws SpecFailedError when a step does not end in time, or steps wait for each other by their markers
 */
export async function runPermutation(permutation: Permutation, run: PermutationRun): Promise<number> {
  return new PermutationRunner(run).run(permutation)
}

class PermutationRunner {
  readonly #run: PermutationRun
  /** In the order in which they were sent. */
  #waiting: Active[] = []
  #running: Active | undefined

  constructor(run: PermutationRun) {
    this.#run = run
  }

  async run(permutation: Permutation): Promise<number> {
    let waits = 0
    for (const of of permutation) {
      const connection = this.#connectionOf(of)
      await this.#untilFree(connection)
      const active = this.#send(of, connection)
      this.#running = active
      const completed = await this.#tryFirst(active)
      // The ones that waited before come first: the new one joins them afterwards.
      await this.#tryWaiting(true)
      this.#running = undefined
      if (completed) continue
      this.#waiting.push(active)
      waits += 1
    }
    await this.#tryWaiting(false)
    if (this.#waiting.length > 0) {
      throw new SpecFailedError('failed to complete permutation due to mutually-blocking steps')
    }
    return waits
  }

  #connectionOf({ step }: PermutationStep): SpecConnection {
    return this.#run.sessions[step.session] as SpecConnection
  }

  /** Waits for the step that this session still has under way, and for nothing else to hold it up. */
  async #untilFree(connection: SpecConnection): Promise<void> {
    const began = systemClock.monotonic()
    for (;;) {
      const old = this.#waiting.find((active) => active.connection === connection)
      if (old === undefined) return
      if (await this.#tryAgain(old, false)) this.#waiting = this.#waiting.filter((active) => active !== old)
      await this.#tryWaiting(true)
      if (systemClock.monotonic() - began > 2 * this.#run.stepTimeoutMs)
        throw this.#timedOut(old, systemClock.monotonic() - began)
    }
  }

  #send(of: PermutationStep, connection: SpecConnection): Active {
    if (!connection.send(of.step.sql)) {
      this.#run.out(`failed to send query for step ${of.step.name}: no connection to the server\n\n`)
      throw new SpecFailedError(`step ${of.step.name} cannot be sent: its connection was lost`)
    }
    const noticesWanted = new Map<Blocker, number>()
    for (const blocker of of.blockers) {
      if (blocker.kind !== 'notices') continue
      const { noticesRead } = this.#run.sessions[blocker.step.session] as SpecConnection
      noticesWanted.set(blocker, noticesRead + blocker.count)
    }
    return { of, connection, sentAtMs: systemClock.monotonic(), noticesWanted, cancelled: false }
  }

  /** Whether the step has completed; else it is reported as waiting. */
  async #tryFirst(active: Active): Promise<boolean> {
    const { step, blockers } = active.of
    const forced = blockers.some(({ kind }) => kind === 'once')
    if (forced || !(await this.#untilResult(active, true)) || this.#isHeldBack(active)) {
      this.#run.out(`step ${step.name}: ${step.sql} <waiting ...>\n`)
      return false
    }
    this.#run.out(`step ${step.name}: ${step.sql}\n`)
    await this.#complete(active)
    return true
  }

  async #tryAgain(active: Active, mayWait: boolean): Promise<boolean> {
    if (!(await this.#untilResult(active, mayWait)) || this.#isHeldBack(active)) return false
    this.#run.out(`step ${active.of.step.name}: <... completed>\n`)
    await this.#complete(active)
    return true
  }

  /**
   * Looks at all waiting steps, again while that may help: a step that a marker holds back is let go by a completion or a
   * notice that was read after it was looked at.
   */
  async #tryWaiting(mayWait: boolean): Promise<void> {
    for (;;) {
      const notices = this.#noticesRead()
      const before = this.#waiting.length
      for (const active of [...this.#waiting]) {
        if (await this.#tryAgain(active, mayWait)) {
          this.#waiting = this.#waiting.filter((other) => other !== active)
        }
      }
      const changed = this.#waiting.length < before || this.#noticesRead() > notices
      if (!changed || this.#waiting.every(({ of }) => of.blockers.length === 0)) return
    }
  }

  #noticesRead(): number {
    return this.#run.sessions.reduce((sum, { noticesRead }) => sum + noticesRead, 0)
  }

  /** True once a result is there. False where the step may wait and the server says that it does. */
  async #untilResult(active: Active, mayWait: boolean): Promise<boolean> {
    const { connection } = active
    const began = systemClock.monotonic()
    while (connection.isBusy()) {
      if (await connection.untilInput(POLL_MS)) continue
      if (mayWait && (await this.#run.isBlocked(connection.processId))) {
        // What arrived while the server was asked is read first, notices above all.
        return !connection.isBusy()
      }
      await this.#limit(active, systemClock.monotonic() - began)
    }
    return true
  }

  async #limit(active: Active, waitedMs: number): Promise<void> {
    const { stepTimeoutMs, out } = this.#run
    if (waitedMs > stepTimeoutMs && !active.cancelled) {
      active.cancelled = true
      await this.#run.cancel(active.connection.processId)
      out(
        `isolationtester: canceling step ${active.of.step.name} after ${Math.floor(waitedMs / 1000)} seconds\n`,
      )
    }
    if (waitedMs > 2 * stepTimeoutMs) throw this.#timedOut(active, waitedMs)
  }

  #timedOut({ of }: Active, waitedMs: number): SpecFailedError {
    const running = this.#running === undefined ? [] : [this.#running]
    const names = [...this.#waiting, ...running].map((active) => ` ${active.of.step.name}`)
    return new SpecFailedError(
      `step ${of.step.name} timed out after ${Math.floor(waitedMs / 1000)} seconds\nactive steps are:${names.join('')}`,
    )
  }

  /** Whether a marker of the step forbids to report it now. */
  #isHeldBack({ of, noticesWanted }: Active): boolean {
    return of.blockers.some((blocker) => {
      if (blocker.kind === 'once') return false
      const { noticesRead } = this.#run.sessions[blocker.step.session] as SpecConnection
      if (blocker.kind === 'notices') return noticesRead < (noticesWanted.get(blocker) ?? 0)
      return this.#isActive(blocker)
    })
  }

  #isActive({ step }: Extract<Blocker, { kind: 'step' }>): boolean {
    return this.#running?.of.step === step || this.#waiting.some((active) => active.of.step === step)
  }

  async #complete(active: Active): Promise<void> {
    const { out, sessions } = this.#run
    const { connection } = active
    for (;;) {
      const result = await connection.nextResult()
      if (result === undefined) break
      out(textOf(result))
    }
    for (const { processId, channel, payload } of connection.takeNotifications()) {
      const sender = sessions.find((session) => session.processId === processId)?.name ?? `PID ${processId}`
      out(`${connection.name}: NOTIFY "${channel}" with payload "${payload}" from ${sender}\n`)
    }
    if (this.#running === active) this.#running = undefined
  }
}

function textOf(result: StatementResult): string {
  switch (result.kind) {
    case 'done':
      return ''
    case 'rows':
      return printTable(result.table)
    case 'error':
      return typeof result.message === 'string' ? `${result.message}\n` : primaryOf(result.message)
    case 'unexpected':
      return `unexpected result status: ${result.status}\n`
  }
}
