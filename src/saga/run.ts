/**
 * One saga in memory: its history, what runs and waits, the way back, and its end. A run is over when the saga has
 * ended, is laid down, is stuck, or when the lease is lost; what is left of the saga's code then waits for ever and is
 * collected.
 */
import { backoffMs } from '../core/backoff.ts'
import { failpoint } from '../core/failpoint.ts'
import type { Log } from '../core/log.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import type { Branch } from './branch.ts'
import { type Change, type Entry, type EntryKind, IN_HAND, type SagaRow, type SagaState } from './entry.ts'
import {
  describeThrown,
  type ErrorRecord,
  SagaCancelledError,
  SagaChangedError,
  StepTimeoutError,
} from './errors.ts'
import type { Journal, Pending } from './journal.ts'
import type { Guard } from './journal-statements.ts'
import type { Ended } from './local.ts'
import { isFinal, isNotApplied, type ResolvedPolicy } from './policy.ts'
import type { Signal } from './signals.ts'
import { encodeValue } from './value.ts'

/** What a run needs of its runner. */
export interface RunEnvironment {
  readonly store: Store
  readonly journal: Journal
  readonly guard: Guard
  readonly log: Log
  readonly parkAfterMs: number
  readonly abandonMs: number
  /** Lays the saga down after each step, so that every step is followed by a replay. For tests. */
  readonly alwaysReplay: boolean
  /** Only looks whether the code still fits the history: nothing runs and nothing is written. */
  readonly dry: boolean
  /** The store's clock as far as it is known here. */
  nowMs(): number
  /** Told when the run is over; the saga itself may not be. */
  onOver(run: SagaRun, ended: Ended | undefined): void
  /** Told when nothing of the run needs the processor any more, and when it does again. */
  onIdle(run: SagaRun, idle: boolean): void
  /** Statements that go with the end of the saga, in one transaction with it. */
  besideEnd(run: SagaRun): ((tx: Transaction) => Promise<void>) | undefined
}

/** Why the saga goes back. */
export interface Cause {
  readonly kind: 'failed' | 'cancelled'
  readonly error: ErrorRecord
}

interface Turn {
  readonly cause: Cause
  /** Steps that may have had an effect and have no entry. */
  readonly unknown: readonly string[]
}

export interface AttemptContext {
  readonly saga: string
  readonly step: string
  /** The same for every attempt of this step of this saga; its undo has one of its own. */
  readonly key: string
  /** From the lease: an attempt of a later owner has a higher one. */
  readonly epoch: bigint
  /** 1 for the first. */
  readonly attempt: number
  readonly signal: AbortSignal
}

export type Phase = 'do' | 'undo' | 'try' | 'confirm' | 'cancel'

export interface Undo {
  readonly step: string
  /** The place in the order of completion; what is unknown comes after everything that is known. */
  readonly order: number
  readonly branch: string
  readonly phase: 'undo' | 'cancel'
  readonly policy: ResolvedPolicy
  readonly timeoutMs: number
  /** Undoes once. With `written` it has recorded that in a transaction of its own. */
  run(context: AttemptContext): Promise<undefined | 'written'>
}

export interface Confirm {
  readonly step: string
  readonly policy: ResolvedPolicy
  readonly timeoutMs: number
  run(context: AttemptContext): Promise<void>
}

interface Wait {
  readonly untilMs: number | undefined
  /** For people. */
  readonly what: string
  timer: NodeJS.Timeout | undefined
  go(): void
}

export type Tried<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed'; readonly error: unknown; readonly unknown: boolean }

export const never = <T>(): Promise<T> => new Promise<T>(() => {})
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Before this, a saga without entries that was interrupted so often in a row is given to a person. */
const INTERRUPTIONS_MAX = 5

export class SagaRun {
  readonly row: SagaRow
  readonly env: RunEnvironment
  readonly undos: Undo[] = []
  readonly confirms: Confirm[] = []
  /** Steps that were aborted while they may have had an effect. */
  readonly unknown: string[] = []
  /** Steps whose work was begun here. */
  readonly begun = new Set<string>()
  readonly undone = new Set<string>()
  readonly #confirmed = new Set<string>()
  readonly #skipped = new Set<string>()
  readonly #answers = new Map<string, Entry[]>()
  readonly #attempts = new Map<string, Entry[]>()
  readonly #signals = new Map<string, Signal[]>()
  readonly #taken = new Set<number>()
  readonly #pokes = new Set<() => void>()
  readonly #waits = new Set<Wait>()
  #root = new AbortController()
  #turn: Turn | undefined
  #cancel: Cause | undefined
  #pivotPassed = false
  #pivoting = false
  #loaded: boolean
  #claimed: boolean
  #seq = 0
  #busy = 0
  #settled = false
  #over = false
  #yielding = false
  #idle = false
  #looking = false
  /** Of what can no longer be stopped: undoing and confirming. */
  readonly #calm = new AbortController().signal
  #parkTimer: NodeJS.Timeout | undefined
  #deadlineTimer: NodeJS.Timeout | undefined
  #interruptions = 0
  /** Set by a dry run. */
  changed: SagaChangedError | undefined

  constructor(
    row: SagaRow,
    env: RunEnvironment,
    history: {
      readonly entries: readonly Entry[]
      readonly signals: readonly Signal[]
      readonly claimed: boolean
    },
  ) {
    this.row = row
    this.env = env
    this.#loaded = history.entries.length > 0 || row.interrupted || row.cancel
    this.#claimed = history.claimed
    for (const entry of history.entries) this.#take(entry)
    this.signal(history.signals)
  }

  get id(): string {
    return this.row.id
  }

  get over(): boolean {
    return this.#over
  }

  get idle(): boolean {
    return this.#idle
  }

  /** True once the turn is in the journal. */
  get isGoingBack(): boolean {
    return this.#turn !== undefined
  }

  get pivotPassed(): boolean {
    return this.#pivotPassed
  }

  /** Fires when the saga has to go back, or when the run is over. */
  get abort(): AbortSignal {
    return this.#root.signal
  }

  // --- the history -------------------------------------------------------------------------------------------------

  #take(entry: Entry): void {
    this.#seq = Math.max(this.#seq, entry.seq)
    this.#interruptions = entry.kind === 'interrupted' ? this.#interruptions + 1 : 0
    switch (entry.kind) {
      case 'undoing':
        this.#turn = JSON.parse(entry.data ?? '{}') as Turn
        return
      case 'undone':
        this.undone.add(entry.step)
        return
      case 'confirmed':
        this.#confirmed.add(entry.step)
        return
      case 'skipped':
        this.#skipped.add(entry.step)
        this.undone.add(entry.step)
        this.#confirmed.add(entry.step)
        return
      case 'pivot':
        this.#pivotPassed = true
        return
      case 'attempt':
        this.#attempts.set(entry.step, [...(this.#attempts.get(entry.step) ?? []), entry])
        return
      case 'retried':
        this.#attempts.clear()
        return
      case 'stuck':
      case 'interrupted':
        return
    }
    if (entry.kind === 'signal') this.#taken.add(Number(entry.hash))
    const key = answerKey(entry.step.slice(0, entry.step.lastIndexOf('/') + 1), entry.pos)
    const list = this.#answers.get(key)
    if (list === undefined) this.#answers.set(key, [entry])
    else list.push(entry)
  }

  /** Entries that answer the call at this place, taken out: each is given once. */
  answers(branch: string, pos: number): readonly Entry[] {
    const key = answerKey(branch, pos)
    const found = this.#answers.get(key)
    if (found === undefined) return NONE
    this.#answers.delete(key)
    return found
  }

  /** True when the journal has an answer at this place or behind it, so that the code is being replayed here. */
  hasAnswersFrom(branch: string, pos: number): boolean {
    for (const [key, [entry]] of this.#answers) {
      if (key.startsWith(`${branch}\n`) && (entry as Entry).pos >= pos) return true
    }
    return false
  }

  peek(branch: string, pos: number): Entry | undefined {
    return this.#answers.get(answerKey(branch, pos))?.[0]
  }

  attemptsOf(step: string): readonly Entry[] {
    return this.#attempts.get(step) ?? NONE
  }

  isSkipped(step: string): boolean {
    return this.#skipped.has(step)
  }

  /** For a dry run, once the code waits or has ended: the first entry that nothing asked for. */
  unanswered(): Entry | undefined {
    const [left] = this.#answers.values()
    return left?.[0]
  }

  // --- writing -----------------------------------------------------------------------------------------------------

  entry(kind: EntryKind, step: string, pos: number, data: string | null, hash: string | null = null): Entry {
    this.#seq += 1
    return { seq: this.#seq, kind, step, pos, hash, data, atMs: this.env.nowMs() }
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
    const state: SagaState = this.#turn === undefined ? 'running' : 'undoing'
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
    this.#busy += 1
    if (this.#idle) this.#setIdle(false)
  }

  leave(): void {
    this.#busy -= 1
    if (this.#busy > 0 || this.#looking) return
    this.#looking = true
    setImmediate(() => {
      this.#looking = false
      this.#lookIdle()
    })
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
    if (this.#yielding && this.#turn === undefined) {
      this.leave()
      return never()
    }
    if (this.#turn !== undefined) throw this.#turnError()
    signal.throwIfAborted()
    const { journal } = this.env
    if (journal.durable(this.id) !== undefined) {
      await this.durable()
      signal.throwIfAborted()
    }
  }

  /** True when the step may have had an effect that no entry tells of. */
  mayHaveBegun(step: string): boolean {
    if (this.#turn !== undefined) return this.#turn.unknown.includes(step)
    return this.row.interrupted || this.attemptsOf(step).some((entry) => isUnknownAttempt(entry))
  }

  #turnError(): SagaCancelledError {
    return new SagaCancelledError(this.id, this.#turn?.cause.error.message)
  }

  /** Waits until then, or until woken; rejects with the signal's reason. Counts as doing nothing. */
  async wait(untilMs: number | undefined, what: string, signal: AbortSignal): Promise<void> {
    if (this.#over) return never()
    signal.throwIfAborted()
    let abort: (() => void) | undefined
    const wait: Wait = { untilMs, what, timer: undefined, go: () => {} }
    const woken = new Promise<void>((resolve, reject) => {
      wait.go = resolve
      abort = () => reject(signal.reason)
      signal.addEventListener('abort', abort, { once: true })
      if (untilMs !== undefined) {
        wait.timer = setTimeout(resolve, Math.min(2_147_483_647, Math.max(0, untilMs - this.env.nowMs())))
      }
    })
    this.#waits.add(wait)
    this.#pokes.add(wait.go)
    this.leave()
    try {
      await woken
    } catch (error) {
      if (this.#over) return never()
      throw error
    } finally {
      clearTimeout(wait.timer)
      this.#waits.delete(wait)
      this.#pokes.delete(wait.go)
      if (abort !== undefined) signal.removeEventListener('abort', abort)
      this.enter()
    }
    if (this.#over) return never()
  }

  #lookIdle(): void {
    if (this.#busy > 0 || this.#over || this.#idle) return
    if (this.#yielding) {
      void this.park(this.env.nowMs())
      return
    }
    if (this.#waits.size === 0) return // the code awaits something of its own
    this.#setIdle(true)
    const { parkAfterMs } = this.env
    const dues = [...this.#waits].flatMap((wait) => wait.untilMs ?? [])
    const dueMs = dues.length > 0 ? Math.min(...dues) : undefined
    if (dueMs !== undefined && dueMs - this.env.nowMs() <= parkAfterMs) return
    this.#parkTimer = setTimeout(() => {
      if (this.#idle && !this.#over) void this.park(dueMs)
    }, parkAfterMs)
  }

  #setIdle(idle: boolean): void {
    this.#idle = idle
    clearTimeout(this.#parkTimer)
    this.env.onIdle(this, idle)
  }

  /** Lays the saga down: anyone who holds the partition takes it up again when it is due, or is woken. */
  async park(wakeAtMs: number | undefined): Promise<void> {
    if (this.#over) return
    const share = this.share()
    const { deadlineAtMs } = this.row
    const latestMs =
      deadlineAtMs === null || this.#pivotPassed || this.#turn !== undefined ? IN_HAND - 1 : deadlineAtMs
    share.change = this.#change({
      wakeAtMs: Math.floor(Math.min(wakeAtMs ?? latestMs, latestMs)),
      held: 0,
      reason: [...this.#waits].map((wait) => wait.what).join(', ') || null,
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
    if (this.#idle && !this.#over) void this.park(this.env.nowMs())
  }

  /** The lease is lost: nothing more is done here. */
  lose(reason: unknown): void {
    if (this.#over) return
    const { code } = (reason ?? {}) as { code?: string }
    const { log } = this.env
    const say =
      code === 'STALE_EPOCH' || code === 'LEASE_LOST' || code === 'CONFIG_INVALID' ? log.info : log.error
    say('a saga is not run here any more', { saga: this.id, reason })
    this.#stop()
    this.#root.abort(reason)
    this.env.onOver(this, undefined)
  }

  /** Stale: another has the saga. Anything else is a refusal of the database, which no repetition mends. */
  #unwritten(error: unknown): void {
    const { code } = (error ?? {}) as { code?: string }
    if (code === 'STALE_EPOCH' || code === 'LEASE_LOST' || this.#over) this.lose(error)
    else this.stuck('', 'do', error)
  }

  #stop(): void {
    this.#over = true
    this.#settled = true
    clearTimeout(this.#parkTimer)
    clearTimeout(this.#deadlineTimer)
    for (const wait of this.#waits) clearTimeout(wait.timer)
  }

  // --- what comes from outside -------------------------------------------------------------------------------------

  /** Signals that are stored for the saga; those that it has had are passed over. */
  signal(signals: readonly Signal[]): void {
    for (const signal of signals) {
      if (this.#taken.has(signal.number)) continue
      this.#taken.add(signal.number)
      const queue = this.#signals.get(signal.name)
      if (queue === undefined) this.#signals.set(signal.name, [signal])
      else queue.push(signal)
    }
  }

  takeSignal(name: string): Signal | undefined {
    return this.#signals.get(name)?.shift()
  }

  /** Lets everything that waits look again. */
  poke(): void {
    for (const go of [...this.#pokes]) go()
  }

  /** Cancels, unless the saga is past its pivot or goes back already. */
  cancel(why: string): void {
    if (
      this.#pivotPassed ||
      this.#pivoting ||
      this.#turn !== undefined ||
      this.#cancel !== undefined ||
      this.#settled
    )
      return
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
    return this.#calm
  }

  endPivot(): void {
    this.#pivoting = false
  }

  passPivot(step: string): void {
    this.#pivotPassed = true
    this.append('pivot', step, -1, null)
  }

  // --- attempts ----------------------------------------------------------------------------------------------------

  /**
   * Tries until it works, fails for good, or is aborted; each failure that is followed by another try is recorded.
   * Rejects with the signal's reason when aborted.
   */
  async attempts<T>(
    what: { readonly step: string; readonly phase: Phase },
    { policy, timeoutMs, signal }: { policy: ResolvedPolicy; timeoutMs: number; signal: AbortSignal },
    work: (context: AttemptContext) => T | Promise<T>,
  ): Promise<Tried<T>> {
    const name = what.phase === 'do' || what.phase === 'try' ? what.step : `${what.step}:${what.phase}`
    const before = this.attemptsOf(name)
    let unknown = before.some(isUnknownAttempt) || this.row.interrupted
    const last = before.at(-1)
    if (last !== undefined) {
      const { retryAtMs = 0 } = JSON.parse(last.data ?? '{}') as { retryAtMs?: number }
      if (retryAtMs > this.env.nowMs())
        await this.wait(retryAtMs, `another try of ${what.phase} "${what.step}"`, signal)
    }
    this.begun.add(what.step)
    for (let attempt = before.length + 1; ; attempt++) {
      let error: unknown
      try {
        const value = await this.#once({ ...what, name, attempt, timeoutMs, signal }, work)
        if (this.#over) return never()
        return { kind: 'done', value }
      } catch (thrown) {
        error = thrown
      }
      if (this.#over) return never()
      signal.throwIfAborted()
      if ((error as { code?: string } | undefined)?.code === 'STALE_EPOCH') {
        this.stuck(what.step, what.phase, error)
        return never()
      }
      unknown ||= !isNotApplied(error)
      if (attempt >= policy.attemptsMax || isFinal(error, policy)) return { kind: 'failed', error, unknown }
      const retryAtMs = Math.ceil(this.env.nowMs() + backoffMs(attempt, policy, this.env.store.clock))
      const data = {
        error: describeThrown(error),
        retryAtMs,
        unknown: !isNotApplied(error),
        phase: what.phase,
      }
      this.append('attempt', name, -1, JSON.stringify(data))
      await this.wait(retryAtMs, `another try of ${what.phase} "${what.step}"`, signal)
      await this.durable()
    }
  }

  /** One attempt, with its time-out. When aborted, `work` is still waited for, for at most `abandonMs`. */
  async #once<T>(
    about: {
      readonly step: string
      readonly phase: Phase
      readonly name: string
      readonly attempt: number
      readonly timeoutMs: number
      readonly signal: AbortSignal
    },
    work: (context: AttemptContext) => T | Promise<T>,
  ): Promise<T> {
    const { signal, timeoutMs, step, phase, attempt, name } = about
    const controller = new AbortController()
    const context: AttemptContext = {
      saga: this.id,
      step,
      key: `${this.id}/${name}`,
      epoch: this.env.guard.epoch,
      attempt,
      signal: controller.signal,
    }
    let abandon: NodeJS.Timeout | undefined
    let onAbort: (() => void) | undefined
    let timer: NodeJS.Timeout | undefined
    const cut = new Promise<never>((_, reject) => {
      onAbort = () => {
        controller.abort(signal.reason)
        abandon = setTimeout(() => reject(signal.reason), this.env.abandonMs)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      timer = setTimeout(() => {
        const error = new StepTimeoutError(`${phase} of step "${step}"`, timeoutMs)
        controller.abort(error)
        reject(error)
      }, timeoutMs)
    })
    cut.catch(() => {})
    try {
      await failpoint('saga.step.before')
      const value = await Promise.race([work(context), cut])
      await failpoint('saga.step.after')
      return value
    } finally {
      clearTimeout(timer)
      clearTimeout(abandon)
      if (onAbort !== undefined) signal.removeEventListener('abort', onAbort)
    }
  }

  // --- from start to end -------------------------------------------------------------------------------------------

  /** Runs the saga's code, then what follows from how it ended. Never rejects. */
  async execute(root: Branch, code: () => Promise<unknown>): Promise<void> {
    this.enter()
    try {
      if (!this.env.dry && !(await this.#prepare())) return
      const ended = await this.#runCode(code)
      root.close()
      await this.#finish(ended)
    } catch (error) {
      if (this.#over) return
      this.env.log.error('a saga could not be carried on', { saga: this.id, error })
      this.lose(error)
    }
  }

  /** False when the saga is not to be run any more. */
  async #prepare(): Promise<boolean> {
    const { row } = this
    if (row.interrupted) {
      if (this.#interruptions >= INTERRUPTIONS_MAX) {
        this.stuck(
          '',
          'do',
          new Error(`its process died ${this.#interruptions + 1} times in a row while it ran`),
        )
        return false
      }
      this.append('interrupted', '', -1, null)
    }
    if (row.cancel) this.cancel('it was cancelled')
    if (row.deadlineAtMs !== null) this.#armDeadline(row.deadlineAtMs)
    return true
  }

  #armDeadline(deadlineAtMs: number): void {
    const leftMs = deadlineAtMs - this.env.nowMs()
    if (leftMs <= 0) this.cancel('it ran out of its time')
    else if (leftMs < 2_147_483_647) {
      this.#deadlineTimer = setTimeout(() => this.cancel('it ran out of its time'), leftMs)
    }
  }

  async #runCode(code: () => Promise<unknown>): Promise<Settled> {
    const running = (async (): Promise<Settled> => {
      try {
        return { kind: 'returned', output: await code() }
      } catch (error) {
        return { kind: 'threw', error }
      }
    })()
    const abandoned = new Promise<Settled>((resolve) => {
      const giveUp = (): void => {
        setTimeout(() => resolve({ kind: 'threw', error: this.abort.reason }), this.env.abandonMs * 2).unref()
      }
      if (this.abort.aborted) giveUp()
      else this.abort.addEventListener('abort', giveUp, { once: true })
    })
    // The code has this run's own turn: it does not count as a step under way.
    this.leave()
    const settled = await Promise.race([running, abandoned])
    this.enter()
    return settled
  }

  async #finish(ended: Settled): Promise<void> {
    if (this.#over) return
    if (ended.kind === 'threw' && !this.#pivotPassed)
      this.#root.abort(new SagaCancelledError(this.id, 'it failed'))
    await this.#quiesce()
    if (this.#over) return
    this.#settled = true
    clearTimeout(this.#parkTimer)
    clearTimeout(this.#deadlineTimer)
    this.#assertAllTaken()
    if (this.#over || this.env.dry) return
    if (this.#turn !== undefined || this.#cancel !== undefined)
      return this.#goBack(this.#turn?.cause ?? (this.#cancel as Cause))
    if (ended.kind === 'threw') {
      if (this.#pivotPassed) return this.stuck('', 'do', ended.error)
      return this.#goBack({ kind: 'failed', error: describeThrown(ended.error) })
    }
    let output: string | null
    try {
      output = encodeValue(`output of saga "${this.id}"`, ended.output)
    } catch (error) {
      if (this.#pivotPassed) return this.stuck('', 'do', error)
      return this.#goBack({ kind: 'failed', error: describeThrown(error) })
    }
    if (!(await this.confirmAll(''))) return
    await this.#end({ state: 'completed', output, reason: null })
  }

  /** Waits for what is still under way; only this run's own turn is left then. */
  async #quiesce(): Promise<void> {
    if (this.#busy === 1) {
      if (this.#loaded) await nextTurn()
      if (this.#busy === 1) return
    }
    const untilMs = this.env.store.clock.monotonic() + this.env.abandonMs * 2
    while (this.#busy > 1 && !this.#over && this.env.store.clock.monotonic() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }

  #assertAllTaken(): void {
    const [left] = this.#answers.values()
    const entry = left?.[0]
    if (entry === undefined) return
    this.codeChanged(
      new SagaChangedError(this.id, `the end of the code`, `${entry.kind} "${entry.step}"`, 'no such call'),
    )
  }

  codeChanged(error: SagaChangedError): void {
    this.changed ??= error
    if (this.env.dry) return
    this.stuck('', 'do', error)
  }

  /** Confirms the tries; once it has begun, there is no way back. False when it is stuck. */
  async confirmAll(pivotStep: string): Promise<boolean> {
    if (this.env.dry) return true
    const open = this.confirms.filter(({ step }) => !this.#confirmed.has(step))
    if (open.length === 0) return true
    if (!this.#pivotPassed) this.passPivot(pivotStep)
    for (const confirm of open) {
      if (this.#mustYield()) return false
      await this.durable()
      const tried = await this.attempts(
        { step: confirm.step, phase: 'confirm' },
        { ...confirm, signal: this.#calm },
        (context) => confirm.run(context),
      )
      if (tried.kind === 'failed') {
        this.stuck(confirm.step, 'confirm', tried.error)
        return false
      }
      this.#confirmed.add(confirm.step)
      this.append('confirmed', confirm.step, -1, null)
    }
    return true
  }

  #mustYield(): boolean {
    if (!this.#yielding || this.env.alwaysReplay) return false
    void this.park(this.env.nowMs())
    return true
  }

  async #goBack(cause: Cause): Promise<void> {
    if (this.#turn === undefined) {
      this.#turn = { cause, unknown: [...new Set(this.unknown)] }
      this.append('undoing', '', -1, JSON.stringify(this.#turn))
      this.share().change = this.#change({ reason: cause.error.message })
      await failpoint('saga.turn')
    }
    if (!(await this.undoAll(this.undos))) return
    const reason = JSON.stringify(cause.error)
    await this.#end({ state: cause.kind === 'cancelled' ? 'cancelled' : 'failed', output: null, reason })
  }

  /** Undoes these steps, the newest first, one after the other. False when one is stuck. */
  async undoAll(undos: readonly Undo[]): Promise<boolean> {
    if (this.env.dry) return true
    const open = [...undos].filter(({ step }) => !this.undone.has(step)).sort((a, b) => b.order - a.order)
    for (const undo of open) {
      if (this.undone.has(undo.step)) continue
      if (this.#mustYield()) return false
      await this.durable()
      const tried = await this.attempts(
        { step: undo.step, phase: undo.phase },
        { ...undo, signal: this.#calm },
        (context) => undo.run(context),
      )
      if (tried.kind === 'failed') {
        this.stuck(undo.step, undo.phase, tried.error)
        return false
      }
      this.undone.add(undo.step)
      if (tried.value !== 'written') this.append('undone', undo.step, -1, null)
      await failpoint('saga.undone')
    }
    return true
  }

  async #end(ended: Ended): Promise<void> {
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
  stuck(step: string, phase: Phase, error: unknown, place?: { pos: number; hash: string | null }): void {
    if (this.#over) return
    const record = describeThrown(error)
    const at = step === '' ? '' : `${phase} of step "${step}": `
    const reason = JSON.stringify({ ...record, message: `${at}${record.message}` })
    this.append('stuck', step, -1, JSON.stringify({ phase, error: record, ...place }))
    const share = this.share()
    share.change = this.#change({ state: 'stuck', wakeAtMs: null, held: 0, reason })
    this.env.log.error('a saga is stuck', { saga: this.id, step, phase, error })
    this.#stop()
    share.durable.then(
      () => this.env.onOver(this, { state: 'stuck', output: null, reason }),
      () => this.env.onOver(this, undefined),
    )
    this.#root.abort(error)
  }
}

type Settled =
  | { readonly kind: 'returned'; readonly output: unknown }
  | { readonly kind: 'threw'; readonly error: unknown }

const NONE: readonly Entry[] = []

function answerKey(branch: string, pos: number): string {
  return `${branch}\n${pos}`
}

function isUnknownAttempt(entry: Entry): boolean {
  return (JSON.parse(entry.data ?? '{}') as { unknown?: boolean }).unknown === true
}
