import { type Background, Bell } from '../core/background.ts'
import { backoffMs } from '../core/backoff.ts'
import { ConfigError, isForPeople } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import { type HeldLease, leaseTables } from '../lease/index.ts'
import { requireRevision } from '../store/migrations.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import { Branch } from './branch.ts'
import {
  type ClaimAnswer,
  type Claimed,
  type ClaimRequest,
  claim,
  isAnythingDue,
  releaseInHand,
} from './claim.ts'
import type { NewSaga, SagaRow } from './entry.ts'
import { execute } from './execute.ts'
import { freePlace } from './flow.ts'
import { Journal, type JournalFigures } from './journal.ts'
import type { Guard } from './journal-statements.ts'
import { addRunner, type Ended, type LocalRunner, runnersOf } from './local.ts'
import { guardOf, Partitions } from './partitions.ts'
import { isNotApplied } from './policy.ts'
import { Recurrence } from './recurring.ts'
import { Retention } from './retention.ts'
import { SagaRun } from './run.ts'
import type { RunEnvironment } from './run-environment.ts'
import { type AnySaga, type ResolvedRunner, resolveRunner, type SagaRunnerOptions } from './runner-options.ts'
import { wake } from './signals.ts'
import { sagaTables } from './tables.ts'
import { decodeValue } from './value.ts'

export interface SagaRunnerFigures extends JournalFigures {
  /** Partitions held. */
  readonly partitions: number
  /** Sagas in memory, and those of them that only wait. */
  readonly inMemory: number
  readonly waiting: number
  readonly completed: number
  readonly failed: number
  readonly cancelled: number
  readonly stuck: number
}

export interface SagaRunner extends Background {
  /** Fulfils when this runner holds partitions, so that what is started here runs here. */
  readonly ready: Promise<void>
  figures(): SagaRunnerFigures
}

const DRAIN_MS = 5_000
const RETRY = { baseMs: 50, capMs: 2_000 }

/**
 * Runs sagas until it is stopped. Any number of processes may; they share the partitions.
 *
 * Guarantee: a saga is run by one runner at a time; what a paused one still writes after its lease was taken over is
 * refused. A killed runner's sagas go on elsewhere within `ttlMs`, one look (1 s) and one poll. `stop` lets each saga
 * finish the step it is at, for at most `drainMs`.
 * @throws ConfigError with every problem of the options; `done` rejects when the tables are missing
 */
export function sagaRunner(store: Store, options: SagaRunnerOptions): SagaRunner {
  return new Runner(store, resolveRunner(options))
}

class Runner implements SagaRunner, LocalRunner {
  readonly done: Promise<void>
  readonly ready: Promise<void>
  readonly #store: Store
  readonly #options: ResolvedRunner
  readonly #known: ReadonlyMap<string, AnySaga>
  readonly #journal: Journal
  readonly #partitions: Partitions
  readonly #runs = new Map<
    string,
    { readonly run: SagaRun; readonly ended: Promise<Ended>; settle(ended: Ended): void }
  >()
  readonly #bell = new Bell()
  readonly #halt = new AbortController()
  readonly #loop: Promise<void>
  readonly #off: () => void
  readonly #recurrence: Recurrence | undefined
  readonly #retention: Retention | undefined
  readonly #counts = { completed: 0, failed: 0, cancelled: 0, stuck: 0 }
  /** Of those that may kill the process, the one that is run now. */
  #suspect: SagaRun | undefined
  #active = 0
  /** Whether the last claim was committed is not known. */
  #unsure = false
  /** Something was due and not taken up, since there was no room. */
  #isBehind = false
  #starting = 0
  #offsetMs = 0
  #gone: (() => void)[] = []
  #stopping: Promise<void> | undefined
  #settle!: { ready: () => void; resolve: () => void; reject: (error: unknown) => void }

  constructor(store: Store, options: ResolvedRunner) {
    this.#store = store
    this.#options = options
    this.#known = new Map(options.sagas.map((saga) => [saga.name, saga]))
    this.ready = new Promise((resolve) => {
      this.#settle = { ready: resolve, resolve: () => {}, reject: () => {} }
    })
    this.done = new Promise((resolve, reject) => {
      this.#settle = { ...this.#settle, resolve, reject }
    })
    this.done.catch(() => {})
    this.#journal = new Journal(store, (guard) => this.#partitions.holds(guard), {
      inFlightMax: store.dialect.singleWriter ? 1 : 2,
      batchMax: 500,
      log: options.log,
    })
    const { group, log } = options
    this.#partitions = new Partitions(store, options, {
      onOpen: () => {
        this.#settle.ready()
        this.#bell.ring()
      },
      onDrain: (partition) => this.#drain(partition),
      onLost: (lease) => this.#lost(lease),
      onFailed: (error) => this.#fail(error),
    })
    this.#off = addRunner(store, this)
    this.#recurrence =
      options.recurring.length > 0
        ? new Recurrence(store, options.recurring, log, this.#halt.signal)
        : undefined
    this.#retention =
      options.retentionMs === false
        ? undefined
        : new Retention(store, { group, keepMs: options.retentionMs, log, signal: this.#halt.signal })
    this.#loop = this.#run()
    const { signal } = options
    if (signal?.aborted) void this.stop({ drainMs: 0 })
    else signal?.addEventListener('abort', () => void this.stop({ drainMs: 0 }), { once: true })
  }

  figures(): SagaRunnerFigures {
    return {
      ...this.#journal.figures,
      partitions: this.#partitions.count,
      inMemory: this.#runs.size,
      waiting: this.#runs.size - this.#active,
      ...this.#counts,
    }
  }

  stop({ drainMs = DRAIN_MS }: { drainMs?: number } = {}): Promise<void> {
    this.#stopping ??= this.#shutDown(drainMs)
    return this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  // --- leases ------------------------------------------------------------------------------------------------------

  #held(partition: string): SagaRun[] {
    return [...this.#runs.values()].map(({ run }) => run).filter((run) => run.row.partition === partition)
  }

  /** Another runner is to have the partition: each of its sagas stops at its next step. */
  async #drain(partition: string): Promise<void> {
    for (const run of this.#held(partition)) run.yield()
    while (this.#held(partition).length > 0) await new Promise<void>((resolve) => this.#gone.push(resolve))
  }

  #lost({ name, epoch, signal }: HeldLease): void {
    for (const { run } of [...this.#runs.values()]) {
      const { guard } = run.env
      if (guard.partition === name && guard.epoch === epoch) run.lose(signal.reason)
    }
  }

  // --- what the rest of the process asks for -----------------------------------------------------------------------

  room(name: string): Guard | undefined {
    if (this.#stopping !== undefined || !this.#known.has(name)) return undefined
    if (this.#active + this.#starting >= this.#options.concurrency) return undefined
    return this.#partitions.pick()
  }

  async startHeld(saga: NewSaga, guard: Guard): Promise<{ readonly started: boolean }> {
    this.#starting += 1
    try {
      const share = this.#journal.share(saga.id, saga.name, guard)
      if (share.start !== undefined || this.#runs.has(saga.id)) {
        await share.durable
        return { started: false }
      }
      share.start = saga
      const { started } = await share.durable
      if (started) this.#start({ row: rowOf(saga), entries: [], signals: [] }, guard, true)
      return { started }
    } finally {
      this.#starting -= 1
    }
  }

  offer(saga: NewSaga): void {
    const guard = this.#partitions.guardOf(saga.partition)
    const ready = saga.flowKey === null && saga.wakeAtMs <= saga.startedAtMs
    const full = this.#active + this.#starting >= this.#options.concurrency
    if (full) this.#isBehind = true
    if (guard === undefined || !ready || full || !this.#known.has(saga.name) || this.#runs.has(saga.id)) {
      this.#bell.ring()
      return
    }
    this.#start({ row: rowOf(saga), entries: [], signals: [] }, guard, false)
  }

  poke(_id: string): void {
    this.#bell.ring()
  }

  ended(id: string): Promise<Ended> | undefined {
    return this.#runs.get(id)?.ended
  }

  // --- the loop ----------------------------------------------------------------------------------------------------

  async #run(): Promise<void> {
    const { pollMs, log } = this.#options
    let failures = 0
    try {
      await this.#store.transaction(
        async (tx) => {
          await requireRevision(tx, leaseTables)
          await requireRevision(tx, sagaTables)
        },
        { readOnly: true },
      )
    } catch (error) {
      if (isForPeople(error)) return this.#fail(error)
      log.warn('the tables could not be looked at', { error })
    }
    while (!this.#halt.signal.aborted) {
      let more = false
      try {
        more = await this.#poll()
        failures = 0
      } catch (error) {
        if (isForPeople(error)) return this.#fail(error)
        failures += 1
        log.warn('sagas could not be looked for; trying again', { error, failures })
      }
      if (more) continue
      const { clock } = this.#store
      await this.#bell.wait(failures > 0 ? backoffMs(failures, RETRY, clock) : pollMs, this.#halt.signal)
    }
  }

  /** True when there may be more. */
  async #poll(): Promise<boolean> {
    const held = this.#partitions.open()
    if (held.length === 0) return false
    const partitions = held.map((lease) => lease.name)
    if (this.#unsure) {
      await releaseInHand(this.#store, partitions)
      this.#unsure = false
    }
    const askedAtMs = this.#store.clock.now()
    const { due, nowMs } = await isAnythingDue(this.#store, partitions, [...this.#known.keys()])
    this.#offsetMs = Math.round(nowMs - (askedAtMs + this.#store.clock.now()) / 2)
    if (!due) return false
    // Those in memory are looked at too, so that what is sent to them arrives though there is no room for more.
    const room = Math.max(0, this.#options.concurrency - this.#active - this.#starting)
    const limit = room + 20
    this.#isBehind = false
    // What is told something must not be laid down before it has been told: the news would be lost with it.
    const kept = new Set<SagaRun>()
    try {
      const { taken, news } = await this.#claim({
        held,
        known: this.#known,
        limit,
        suspectMayRun: this.#suspect === undefined || this.#suspect.over || this.#suspect.idle,
        whatOf: this.#chooser(room, kept),
      })
      await failpoint('saga.claimed')
      for (const one of news) this.#tell(one)
      for (const claimed of taken) {
        const lease = held.find(({ name }) => name === claimed.row.partition)
        if (lease !== undefined) this.#start(claimed, guardOf(lease), true)
      }
      return taken.length + news.length >= limit
    } finally {
      for (const run of kept) run.leave()
    }
  }

  /**
   * A claim without an answer may have been committed. What it marked as in hand is then in nobody's hand, and what it had
   * to tell was not told: all that is in hand becomes due again, and those in memory are only told anew.
   */
  async #claim(request: ClaimRequest): Promise<ClaimAnswer> {
    try {
      return await claim(this.#store, request)
    } catch (error) {
      this.#unsure ||= !isNotApplied(error)
      throw error
    }
  }

  #chooser(room: number, kept: Set<SagaRun>): (id: string) => 'take' | 'poke' | 'leave' {
    let left = room
    return (id) => {
      const run = this.#runs.get(id)?.run
      if (run?.over) return 'leave'
      if (run !== undefined) {
        if (!kept.has(run)) run.enter()
        kept.add(run)
        return 'poke'
      }
      if (left === 0) {
        this.#isBehind = true
        return 'leave'
      }
      left -= 1
      return 'take'
    }
  }

  #tell({ id, cancel, signals }: { id: string; cancel: boolean; signals: Claimed['signals'] }): void {
    const run = this.#runs.get(id)?.run
    if (run === undefined) return
    run.mail.put(signals)
    if (cancel) run.cancel('it was cancelled')
    run.poke()
  }

  /**
   * Not once the lease under which it was taken is over: whoever has the partition now, this runner or another one, has
   * released what was in hand and takes it up anew. A run under the old epoch would only stand in its way.
   */
  #start(claimed: Claimed, guard: Guard, isMarked: boolean): void {
    if (!this.#partitions.holds(guard)) return
    const { row } = claimed
    const definition = this.#known.get(row.name)
    if (definition === undefined || this.#runs.has(row.id)) return
    let settle!: (ended: Ended) => void
    const ended = new Promise<Ended>((resolve) => {
      settle = resolve
    })
    const run = new SagaRun(row, this.#environment(guard, definition), { ...claimed, claimed: isMarked })
    this.#runs.set(row.id, { run, ended, settle })
    if (claimed.suspect === true) this.#suspect = run
    this.#active += 1
    const root = Branch.root(run, { lastMs: row.startedAtMs })
    void execute(run, root, async () => definition.code(root as never, decodeValue(row.input)))
  }

  #environment(guard: Guard, definition: AnySaga): RunEnvironment {
    const { log, parkAfterMs, abandonMs, alwaysReplay } = this.#options
    return {
      store: this.#store,
      journal: this.#journal,
      guard,
      log,
      parkAfterMs,
      abandonMs,
      alwaysReplay,
      dry: false,
      nowMs: () => Math.floor(this.#store.clock.now()) + this.#offsetMs,
      onOver: (run, ended) => this.#over(run, ended),
      onIdle: (_run, idle) => {
        this.#active += idle ? -1 : 1
        if (idle && this.#isBehind) this.#bell.ring()
      },
      besideEnd: ({ row }) => {
        if (row.parentId === null && !definition.isLimited) return undefined
        return async (tx: Transaction) => {
          if (row.parentId !== null) await wake(tx, row.parentId)
          if (definition.isLimited) await freePlace(tx, row.name)
        }
      },
    }
  }

  #over(run: SagaRun, ended: Ended | undefined): void {
    const held = this.#runs.get(run.id)
    if (held?.run !== run) return
    this.#runs.delete(run.id)
    if (!run.idle) this.#active -= 1
    if (ended !== undefined) {
      held.settle(ended)
      if (
        ended.state === 'completed' ||
        ended.state === 'failed' ||
        ended.state === 'cancelled' ||
        ended.state === 'stuck'
      )
        this.#counts[ended.state] += 1
      if (run.row.parentId !== null)
        for (const runner of runnersOf(this.#store)) runner.poke(run.row.parentId)
    } else {
      // Laid down or lost: who waits for its end looks in the store again.
      held.settle({ state: 'running', output: null, reason: null })
    }
    for (const gone of this.#gone.splice(0)) gone()
    // With room for all, nobody waits for this one's end: but for its own next life, and those that share a limit with it.
    if (ended === undefined || this.#isBehind || run.row.flowKey !== null) this.#bell.ring()
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  async #shutDown(drainMs: number): Promise<void> {
    await Promise.resolve()
    this.#off()
    this.#partitions.halt()
    const runs = (): SagaRun[] => [...this.#runs.values()].map(({ run }) => run)
    for (const run of runs()) run.yield()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, drainMs)
    })
    const drained = (async () => {
      while (this.#runs.size > 0 || this.#starting > 0)
        await new Promise<void>((resolve) => this.#gone.push(resolve))
      await this.#journal.drained()
    })()
    if (drainMs > 0) await Promise.race([drained, late])
    clearTimeout(timer)
    this.#halt.abort()
    this.#bell.ring()
    for (const run of runs()) run.lose(new ConfigError('saga runner', ['it was stopped']))
    await this.#recurrence?.stopped
    await this.#retention?.stopped
    await this.#loop
    await this.#partitions.release()
    this.#settle.ready()
    this.#settle.resolve()
  }

  #fail(error: unknown): void {
    this.#options.log.error('the saga runner has ended', { error })
    this.#settle.reject(error)
    this.#settle.ready()
    void this.stop({ drainMs: 0 })
  }
}

function rowOf(saga: NewSaga): SagaRow {
  return { ...saga, state: 'running', cancel: false, interrupted: false }
}
