/**
 * One saga in memory: its history, what runs and waits, the way back, and its end. A run is over when the saga has
 * ended, is laid down, is stuck, or when the lease is lost; what is left of the saga's code then waits for ever and is
 * collected.
 */
import { Activity, never, nextTurn } from './activity.ts'
import type { Phase } from './attempt.ts'
import { type Change, type Entry, type EntryKind, IN_HAND, type SagaRow, type SagaState } from './entry.ts'
import { describeThrown, SagaCancelledError, type SagaChangedError } from './errors.ts'
import { type Cause, SagaHistory, type StuckData, type Turn } from './history.ts'
import type { Pending } from './journal.ts'
import type { Ended } from './local.ts'
import { Mailbox } from './mailbox.ts'
import type { RunEnvironment } from './run-environment.ts'
import { CALM, type Confirm, type Undo } from './settle.ts'
import type { Signal } from './signals.ts'

export class SagaRun {
  readonly row: SagaRow
  readonly env: RunEnvironment
  readonly history: SagaHistory
  readonly undos: Undo[] = []
  readonly confirms: Confirm[] = []
  /** Steps that were aborted while they may have had an effect. */
  readonly unknown: string[] = []
  /** Steps whose work was begun here, and has no entry yet. */
  readonly begun = new Set<string>()
  readonly #activity: Activity
  readonly mail: Mailbox
  #root = new AbortController()
  #cancel: Cause | undefined
  #pivoting = false
  /** Why it was to be cancelled while the pivot was under way. */
  #afterPivot: string | undefined
  #loaded: boolean
  #claimed: boolean
  #settled = false
  #over = false
  #yielding = false
  #parkTimer: NodeJS.Timeout | undefined
  #deadlineTimer: NodeJS.Timeout | undefined
  /** Set by a dry run. */
  changed: SagaChangedError | undefined

  constructor(
    row: SagaRow,
    env: RunEnvironment,
    found: {
      readonly entries: readonly Entry[]
      readonly signals: readonly Signal[]
      readonly claimed: boolean
    },
  ) {
    this.row = row
    this.env = env
    this.history = new SagaHistory(found.entries)
    this.#loaded = found.entries.length > 0 || row.interrupted || row.cancel
    this.#claimed = found.claimed
    this.#activity = new Activity({
      nowMs: () => env.nowMs(),
      onQuiet: () => this.#lookIdle(),
      onBusy: () => this.#tellIdle(false),
    })
    this.mail = new Mailbox(this.history.received)
    this.mail.put(found.signals)
  }

  get id(): string {
    return this.row.id
  }

  get over(): boolean {
    return this.#over
  }

  get idle(): boolean {
    return this.#activity.idle
  }

  /** Why it is to go back, where somebody asked for that. */
  get cancelled(): Cause | undefined {
    return this.#cancel
  }

  /** Fires when the saga has to go back, or when the run is over. */
  get abort(): AbortSignal {
    return this.#root.signal
  }

  // --- writing -----------------------------------------------------------------------------------------------------

  entry(kind: EntryKind, step: string, pos: number, data: string | null, hash: string | null = null): Entry {
    return { seq: this.history.nextSeq(), kind, step, pos, hash, data, atMs: this.env.nowMs() }
  }

  /** Puts an entry into the saga's share of the next commit. */
  append(kind: EntryKind, step: string, pos: number, data: string | null, hash: string | null = null): Entry {
    const entry = this.entry(kind, step, pos, data, hash)
    this.share().entries.push(entry)
    if (this.env.alwaysReplay && pos >= 0) this.#yielding = true
    return entry
  }

  share(): Pending {
    const share = this.env.journal.share(this.id, this.row.name, this.env.guard)
    this.claim(share)
    return share
  }

  /** A saga that another transaction started is marked as held by the first thing that is written for it. */
  claim(share: Pending): void {
    if (this.#claimed) return
    this.#claimed = true
    share.change ??= this.#change({})
  }

  /** The saga's own state, with what changes. */
  #change(change: Partial<Change>): Change {
    const state: SagaState = this.history.turn === undefined ? 'running' : 'undoing'
    return { state, wakeAtMs: IN_HAND, held: 1, endedAtMs: null, output: null, reason: null, ...change }
  }

  /** Fulfils when everything appended so far is durable. What led to an effect must be before the effect begins. */
  async durable(): Promise<void> {
    const durable = this.env.journal.durable(this.id)
    if (durable === undefined) return
    try {
      await durable
    } catch (error) {
      this.#unwritten(error)
    }
    if (this.#over) await never()
  }

  // --- what runs and waits -----------------------------------------------------------------------------------------

  enter(): void {
    this.#activity.enter()
  }

  leave(): void {
    this.#activity.leave()
  }

  /**
   * To be awaited before anything new is done: lets all that is recorded be taken in, and stops here when the saga goes
   * back, or the run is over.
   */
  async frontier(signal: AbortSignal): Promise<void> {
    if (this.env.dry) return never()
    if (this.#loaded) {
      await nextTurn()
      this.#loaded = false
    }
    if (this.#over) return never()
    const { turn } = this.history
    if (this.#yielding && turn === undefined) {
      this.leave()
      return never()
    }
    if (turn !== undefined) throw new SagaCancelledError(this.id, turn.cause.error.message)
    signal.throwIfAborted()
    const { journal } = this.env
    if (journal.durable(this.id) !== undefined) {
      await this.durable()
      signal.throwIfAborted()
    }
  }

  /** Waits until then, or until woken; rejects with the signal's reason. Counts as doing nothing. */
  async wait(untilMs: number | undefined, what: string, signal: AbortSignal): Promise<void> {
    if (this.#over) return never()
    try {
      await this.#activity.wait(untilMs, what, signal)
    } catch (error) {
      if (this.#over) return never()
      throw error
    }
    if (this.#over) return never()
  }

  /** Waits for what is still under way; only this run's own turn is left then. */
  async quiesce(): Promise<void> {
    const activity = this.#activity
    if (activity.busy === 1) {
      if (this.#loaded) await nextTurn()
      if (activity.busy === 1) return
    }
    const { clock } = this.env.store
    const untilMs = clock.monotonic() + this.env.abandonMs * 2
    while (activity.busy > 1 && !this.#over && clock.monotonic() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }

  #lookIdle(): void {
    if (this.#yielding) {
      void this.park(this.env.nowMs())
      return
    }
    const activity = this.#activity
    if (!activity.isWaiting) return // the code awaits something of its own
    activity.becomeIdle()
    this.#tellIdle(true)
    const { parkAfterMs } = this.env
    const { dueMs } = activity
    if (dueMs !== undefined && dueMs - this.env.nowMs() <= parkAfterMs) return
    this.#parkTimer = setTimeout(() => {
      if (activity.idle && !this.#over) void this.park(dueMs)
    }, parkAfterMs)
  }

  #tellIdle(idle: boolean): void {
    clearTimeout(this.#parkTimer)
    this.env.onIdle(this, idle)
  }

  /** Lays the saga down: anyone who holds the partition takes it up again when it is due, or is woken. */
  async park(wakeAtMs: number | undefined): Promise<void> {
    if (this.#over) return
    const share = this.share()
    const { deadlineAtMs } = this.row
    const latestMs =
      deadlineAtMs === null || this.history.pivotPassed || this.history.turn !== undefined
        ? IN_HAND - 1
        : deadlineAtMs
    share.change = this.#change({
      wakeAtMs: Math.floor(Math.min(wakeAtMs ?? latestMs, latestMs)),
      held: 0,
      reason: this.#activity.reason,
    })
    this.#stop()
    try {
      await share.durable
    } catch {
      // Lost: whoever took the partition over finds it as it was.
    }
    this.env.onOver(this, undefined)
  }

  /** Stops at the next place where something new would begin, and lays the saga down there. */
  yield(): void {
    this.#yielding = true
    if (this.idle && !this.#over) void this.park(this.env.nowMs())
  }

  /** True when the saga is being laid down, so that nothing more is to be begun. */
  mustYield(): boolean {
    if (!this.#yielding || this.env.alwaysReplay) return false
    void this.park(this.env.nowMs())
    return true
  }

  /** The lease is lost: nothing more is done here. */
  lose(reason: unknown): void {
    if (this.#over) return
    this.#sayLost(reason)
    this.#stop()
    this.#root.abort(reason)
    this.env.onOver(this, undefined)
  }

  #sayLost(reason: unknown): void {
    const { code } = (reason ?? {}) as { code?: string }
    const { log } = this.env
    const say =
      code === 'STALE_EPOCH' || code === 'LEASE_LOST' || code === 'CONFIG_INVALID' ? log.info : log.error
    say('a saga is not run here any more', { saga: this.id, reason })
  }

  /** Stale: another has the saga. Anything else is a refusal of the database, which no repetition mends. */
  #unwritten(error: unknown): void {
    const { code } = (error ?? {}) as { code?: string }
    if (code === 'STALE_EPOCH' || code === 'LEASE_LOST' || this.#over) this.lose(error)
    else this.stuck('', 'do', error)
  }

  #stop(): void {
    this.#over = true
    this.settle()
    this.#activity.stop()
  }

  // --- what comes from outside -------------------------------------------------------------------------------------

  /** Lets everything that waits look again. */
  poke(): void {
    this.#activity.poke()
  }

  /** Cancels, unless the saga is past its pivot or goes back already. */
  cancel(why: string): void {
    const { pivotPassed, turn } = this.history
    if (this.#pivoting) this.#afterPivot ??= why
    const tooLate = pivotPassed || this.#pivoting || turn !== undefined || this.#settled
    if (tooLate || this.#cancel !== undefined) return
    const error = new SagaCancelledError(this.id, why)
    this.#cancel = { kind: 'cancelled', error: describeThrown(error) }
    this.#root.abort(error)
  }

  /**
   * A pivot that has begun has to be known: from here on nothing cancels, until it has failed. When a cancel came first
   * and the pivot may have been under way in a crash, the cancel is too late.
   */
  beginPivot(): AbortSignal {
    this.#pivoting = true
    this.#cancel = undefined
    if (this.#root.signal.aborted) this.#root = new AbortController()
    return CALM
  }

  /** What came meanwhile holds when the pivot has failed. */
  endPivot(): void {
    this.#pivoting = false
    if (this.#afterPivot !== undefined) this.cancel(this.#afterPivot)
  }

  passPivot(step: string): void {
    this.history.pivotPassed = true
    this.append('pivot', step, -1, null)
  }

  armDeadline(deadlineAtMs: number): void {
    const leftMs = deadlineAtMs - this.env.nowMs()
    if (leftMs <= 0) this.cancel('it ran out of its time')
    else if (leftMs < 2_147_483_647) {
      this.#deadlineTimer = setTimeout(() => this.cancel('it ran out of its time'), leftMs)
    }
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  /** Aborts what is under way, since the code has failed. */
  stopSteps(reason: unknown): void {
    this.#root.abort(reason)
  }

  /** The code has ended: nothing cancels any more, and it is not laid down by itself. */
  settle(): void {
    this.#settled = true
    clearTimeout(this.#parkTimer)
    clearTimeout(this.#deadlineTimer)
  }

  /** From here on it goes back. */
  turn(turn: Turn): void {
    this.history.turn = turn
    this.append('undoing', '', -1, JSON.stringify(turn))
    this.share().change = this.#change({ reason: turn.cause.error.message })
  }

  codeChanged(error: SagaChangedError): void {
    this.changed ??= error
    if (this.env.dry) return
    this.stuck('', 'do', error)
  }

  async end(ended: Ended): Promise<void> {
    const share = this.share()
    share.change = {
      ...ended,
      wakeAtMs: null,
      held: 0,
      endedAtMs: this.env.nowMs(),
    }
    const beside = this.env.besideEnd(this)
    if (beside !== undefined) share.beside.push(beside)
    try {
      await share.durable
    } catch (error) {
      return this.#unwritten(error)
    }
    if (this.#over) return
    this.#stop()
    this.env.onOver(this, ended)
  }

  /** Gives the saga to a person: nothing is done until one says how to go on. */
  stuck(step: string, phase: Phase, error: unknown, about: Partial<StuckData> = {}): void {
    if (this.#over) return
    const record = describeThrown(error)
    const at = step === '' ? '' : `${phase} of step "${step}": `
    const reason = JSON.stringify({ ...record, message: `${at}${record.message}` })
    const open = [...this.begun].filter((begun) => begun !== step)
    const data: StuckData = { phase, error: record, ...(open.length > 0 && { open }), ...about }
    this.append('stuck', step, -1, JSON.stringify(data))
    const share = this.share()
    share.change = this.#change({ state: 'stuck', wakeAtMs: null, held: 0, reason })
    this.#stop()
    // Said once it is written: a process that was stopped past its lease may believe it of what its successor has done.
    share.durable.then(
      () => {
        this.env.log.error('a saga is stuck', { saga: this.id, step, phase, error })
        this.env.onOver(this, { state: 'stuck', output: null, reason })
      },
      (refused: unknown) => {
        this.#sayLost(refused)
        this.env.onOver(this, undefined)
      },
    )
    this.#root.abort(error)
  }
}
