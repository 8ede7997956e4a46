import { failpoint } from '../core/failpoint.ts'
import type { Store } from '../store/store.ts'
import {
  type ClaimAnswer,
  type Claimed,
  type ClaimRequest,
  claim,
  isAnythingDue,
  releaseInHand,
} from './claim.ts'
import type { Guard } from './journal-statements.ts'
import { guardOf, type Partitions } from './partitions.ts'
import { isNotApplied } from './policy.ts'
import type { SagaRun } from './run.ts'
import type { AnySaga } from './runner-options.ts'
import type { Runs } from './runs.ts'

/** Room for the news of those in memory, where there is none for more. */
const NEWS_MAX = 20

interface IntakeParts {
  readonly store: Store
  readonly known: ReadonlyMap<string, AnySaga>
  readonly partitions: Partitions
  readonly runs: Runs
  /** Runs it, where that is still right. */
  start(claimed: Claimed, guard: Guard): SagaRun | undefined
}

/** Takes up what is due in the partitions that are held, and tells those in memory what was sent to them. */
export class Intake {
  readonly #parts: IntakeParts
  /** Of those that may kill the process, the one that is run now. */
  #suspect: SagaRun | undefined
  /** Whether the last claim was committed is not known. */
  #unsure = false
  /** The store's clock against this one's. */
  offsetMs = 0

  constructor(parts: IntakeParts) {
    this.#parts = parts
  }

  /** Looks once; true when there may be more. */
  async look(): Promise<boolean> {
    const { store, known, partitions, runs } = this.#parts
    const held = partitions.open()
    if (held.length === 0) return false
    const names = held.map((lease) => lease.name)
    if (this.#unsure) {
      await releaseInHand(store, names)
      this.#unsure = false
    }
    const askedAtMs = store.clock.now()
    const { due, nowMs } = await isAnythingDue(store, names, [...known.keys()])
    this.offsetMs = Math.round(nowMs - (askedAtMs + store.clock.now()) / 2)
    if (!due) return false
    // Those in memory are looked at too, so that what is sent to them arrives though there is no room for more.
    const { room } = runs
    const limit = room + NEWS_MAX
    runs.isBehind = false
    // What is told something must not be laid down before it has been told: the news would be lost with it.
    const kept = new Set<SagaRun>()
    try {
      const { taken, news } = await this.#claim({
        held,
        known,
        limit,
        suspectMayRun: this.#suspect === undefined || this.#suspect.over || this.#suspect.idle,
        whatOf: this.#chooser(room, kept),
      })
      await failpoint('saga.claimed')
      for (const one of news) this.#tell(one)
      for (const claimed of taken) this.#start(claimed, held)
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
      return await claim(this.#parts.store, request)
    } catch (error) {
      this.#unsure ||= !isNotApplied(error)
      throw error
    }
  }

  #chooser(room: number, kept: Set<SagaRun>): ClaimRequest['whatOf'] {
    const { runs } = this.#parts
    let left = room
    return (id) => {
      const run = runs.get(id)
      if (run?.over) return 'leave'
      if (run !== undefined) {
        if (!kept.has(run)) run.enter()
        kept.add(run)
        return 'poke'
      }
      if (left === 0) {
        runs.isBehind = true
        return 'leave'
      }
      left -= 1
      return 'take'
    }
  }

  #tell({ id, cancel, signals }: ClaimAnswer['news'][number]): void {
    const run = this.#parts.runs.get(id)
    if (run === undefined) return
    run.mail.put(signals)
    if (cancel) run.cancel('it was cancelled')
    run.poke()
  }

  #start(claimed: Claimed, held: ClaimRequest['held']): void {
    const lease = held.find(({ name }) => name === claimed.row.partition)
    if (lease === undefined) return
    const run = this.#parts.start(claimed, guardOf(lease))
    if (claimed.suspect === true && run !== undefined) this.#suspect = run
  }
}
