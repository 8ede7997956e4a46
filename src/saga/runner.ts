import { type Background, Bell, drainMsOf } from '../core/background.ts'
import { backoffMs } from '../core/backoff.ts'
import { deferred } from '../core/deferred.ts'
import { ConfigError, isForPeople } from '../core/errors.ts'
import { checkArguments } from '../core/options.ts'
import { type HeldLease, leaseTables } from '../lease/index.ts'
import { isStore } from '../store/arguments.ts'
import { requireRevision } from '../store/migrations.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import { Branch } from './branch.ts'
import type { Claimed } from './claim.ts'
import type { NewSaga, SagaRow } from './entry.ts'
import { execute } from './execute.ts'
import { freePlace } from './flow.ts'
import { Intake } from './intake.ts'
import { Journal, type JournalFigures } from './journal.ts'
import type { Guard } from './journal-statements.ts'
import { addRunner, type Ended, type LocalRunner, runnersOf } from './local.ts'
import { Partitions } from './partitions.ts'
import { Recurrence } from './recurring.ts'
import { Retention } from './retention.ts'
import { SagaRun } from './run.ts'
import type { RunEnvironment } from './run-environment.ts'
import { type AnySaga, type ResolvedRunner, resolveRunner, type SagaRunnerOptions } from './runner-options.ts'
import { Runs } from './runs.ts'
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
  checkArguments('sagaRunner', isStore(store))
  return new Runner(store, resolveRunner(options))
}

class Runner implements SagaRunner, LocalRunner {
  readonly #done = deferred<void>()
  readonly #ready = deferred<void>()
  readonly done = this.#done.promise
  readonly ready = this.#ready.promise
  readonly #store: Store
  readonly #options: ResolvedRunner
  readonly #known: ReadonlyMap<string, AnySaga>
  readonly #journal: Journal
  readonly #partitions: Partitions
  readonly #runs: Runs
  readonly #intake: Intake
  readonly #bell = new Bell()
  readonly #halt = new AbortController()
  readonly #loop: Promise<void>
  readonly #off: () => void
  readonly #recurrence: Recurrence | undefined
  readonly #retention: Retention | undefined
  #stopping: Promise<void> | undefined

  constructor(store: Store, options: ResolvedRunner) {
    this.#store = store
    this.#options = options
    this.#known = new Map(options.sagas.map((saga) => [saga.name, saga]))
    this.#runs = new Runs(options.concurrency)
    this.#journal = new Journal(store, (guard) => this.#partitions.holds(guard), {
      inFlightMax: store.dialect.singleWriter ? 1 : 2,
      batchMax: 500,
      log: options.log,
    })
    const { group, log } = options
    this.#partitions = new Partitions(store, options, {
      onOpen: () => {
        this.#ready.resolve()
        this.#bell.ring()
      },
      onDrain: (partition) => this.#drain(partition),
      onLost: (lease) => this.#lost(lease),
      onFailed: (error) => this.#fail(error),
    })
    this.#intake = new Intake({
      store,
      known: this.#known,
      partitions: this.#partitions,
      runs: this.#runs,
      start: (claimed, guard) => this.#start(claimed, guard, true),
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
      waiting: this.#runs.waiting,
      ...this.#runs.counts,
    }
  }

  stop(options: { drainMs?: number } = {}): Promise<void> {
    const drainMs = drainMsOf('runner.stop', options, DRAIN_MS)
    this.#stopping ??= this.#shutDown(drainMs)
    return this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  // --- leases ------------------------------------------------------------------------------------------------------

  /** Another runner is to have the partition: each of its sagas stops at its next step. */
  async #drain(partition: string): Promise<void> {
    for (const run of this.#runs.of(partition)) run.yield()
    await this.#runs.goneFrom(partition)
  }

  #lost({ name, epoch, signal }: HeldLease): void {
    for (const run of this.#runs.of(name)) if (run.env.guard.epoch === epoch) run.lose(signal.reason)
  }

  // --- what the rest of the process asks for -----------------------------------------------------------------------

  room(name: string): Guard | undefined {
    if (this.#stopping !== undefined || !this.#known.has(name) || this.#runs.room === 0) return undefined
    return this.#partitions.pick()
  }

  startHeld(saga: NewSaga, guard: Guard): Promise<{ readonly started: boolean }> {
    return this.#runs.starting(async () => {
      const share = this.#journal.share(saga.id, saga.name, guard)
      if (share.start !== undefined || this.#runs.has(saga.id)) {
        await share.durable
        return { started: false }
      }
      share.start = saga
      const { started } = await share.durable
      if (started) this.#start({ row: rowOf(saga), entries: [], signals: [] }, guard, true)
      return { started }
    })
  }

  offer(saga: NewSaga): void {
    const guard = this.#partitions.guardOf(saga.partition)
    const ready = saga.flowKey === null && saga.wakeAtMs <= saga.startedAtMs
    const full = this.#runs.room === 0
    if (full) this.#runs.isBehind = true
    if (guard === undefined || !ready || full) this.#bell.ring()
    else if (!this.#start({ row: rowOf(saga), entries: [], signals: [] }, guard, false)) this.#bell.ring()
  }

  poke(_id: string): void {
    this.#bell.ring()
  }

  ended(id: string): Promise<Ended> | undefined {
    return this.#runs.ended(id)
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
        more = await this.#intake.look()
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

  /**
   * Not once the lease under which it was taken is over: whoever has the partition now, this runner or another one, has
   * released what was in hand and takes it up anew. A run under the old epoch would only stand in its way.
   */
  #start(claimed: Claimed, guard: Guard, isMarked: boolean): SagaRun | undefined {
    if (!this.#partitions.holds(guard)) return undefined
    const { row } = claimed
    const definition = this.#known.get(row.name)
    if (definition === undefined || this.#runs.has(row.id)) return undefined
    const run = new SagaRun(row, this.#environment(guard, definition), { ...claimed, claimed: isMarked })
    this.#runs.add(run)
    if (this.#stopping !== undefined) run.yield()
    const root = Branch.root(run, { lastMs: row.startedAtMs })
    void execute(run, root, async () => definition.code(root as never, decodeValue(row.input)))
    return run
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
      nowMs: () => Math.floor(this.#store.clock.now()) + this.#intake.offsetMs,
      onOver: (run, ended) => this.#over(run, ended),
      onIdle: (_run, idle) => {
        this.#runs.setIdle(idle)
        if (idle && this.#runs.isBehind) this.#bell.ring()
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
    if (!this.#runs.remove(run, ended)) return
    if (ended !== undefined && run.row.parentId !== null)
      for (const runner of runnersOf(this.#store)) runner.poke(run.row.parentId)
    // With room for all, nobody waits for this one's end: but for its own next life, and those that share a limit with it.
    if (ended === undefined || this.#runs.isBehind || run.row.flowKey !== null) this.#bell.ring()
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  async #shutDown(drainMs: number): Promise<void> {
    await Promise.resolve()
    this.#off()
    this.#partitions.halt()
    for (const run of this.#runs.all()) run.yield()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, drainMs)
    })
    const drained = (async () => {
      await this.#runs.gone()
      await this.#journal.drained()
    })()
    if (drainMs > 0) await Promise.race([drained, late])
    clearTimeout(timer)
    this.#halt.abort()
    this.#bell.ring()
    for (const run of this.#runs.all()) run.lose(new ConfigError('saga runner', ['it was stopped']))
    await this.#recurrence?.stopped
    await this.#retention?.stopped
    await this.#loop
    await this.#partitions.release()
    this.#ready.resolve()
    this.#done.resolve()
  }

  #fail(error: unknown): void {
    this.#options.log.error('the saga runner has ended', { error })
    this.#done.reject(error)
    this.#ready.resolve()
    void this.stop({ drainMs: 0 })
  }
}

function rowOf(saga: NewSaga): SagaRow {
  return { ...saga, state: 'running', cancel: false, interrupted: false }
}
