import { backoffMs } from '../core/backoff.ts'
import { failpoint } from '../core/failpoint.ts'
import type { Log } from '../core/log.ts'
import { StaleEpochError } from '../effects/index.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import type { Change, Entry, NewSaga } from './entry.ts'
import { type Batch, commitBatch, type Guard, writeBatch } from './journal-statements.ts'

/** One saga's share of a batch: what it has to write, in order. */
export class Pending {
  readonly sagaId: string
  readonly name: string
  readonly guard: Guard
  start: NewSaga | undefined
  readonly entries: Entry[] = []
  change: Change | undefined
  /** Statements that go with it, in the same transaction. */
  readonly beside: ((tx: Transaction) => Promise<unknown>)[] = []
  readonly durable: Promise<{ readonly started: boolean }>
  settle!: (answer: { readonly started: boolean }) => void
  fail!: (error: unknown) => void

  constructor(sagaId: string, name: string, guard: Guard) {
    this.sagaId = sagaId
    this.name = name
    this.guard = guard
    this.durable = new Promise((resolve, reject) => {
      this.settle = resolve
      this.fail = reject
    })
    this.durable.catch(() => {}) // who waits for it sees the error; a trace entry has nobody
  }
}

export interface JournalFigures {
  commits: number
  entries: number
  batchMax: number
}

export interface JournalOptions {
  /** Batches under way at a time. */
  readonly inFlightMax: number
  /** Sagas in one batch. */
  readonly batchMax: number
  readonly log: Log
}

const RETRY = { baseMs: 20, capMs: 1_000 }

/**
 * Group commit: what many sagas of this process append in the same moment goes out as one statement in one commit.
 *
 * While `inFlightMax` batches are under way, what comes collects for the next. A saga has at most one share under way,
 * so its entries become durable in their order. Everything is written under the epoch of the saga's partition, checked
 * in the same statement; a share whose epoch has passed is refused with StaleEpochError and leaves nothing.
 * A batch that got no answer is sent again as it is until its leases end: entries are inserted where they are missing.
 */
export class Journal {
  readonly figures: JournalFigures = { commits: 0, entries: 0, batchMax: 0 }
  readonly #store: Store
  readonly #options: JournalOptions
  /** False when the guard's lease is over, so that there is no point in trying again. */
  readonly #isHeld: (guard: Guard) => boolean
  readonly #waiting = new Map<string, Pending>()
  readonly #underWay = new Map<string, Pending>()
  #inFlight = 0
  #scheduled = false
  #idle: (() => void)[] = []

  constructor(store: Store, isHeld: (guard: Guard) => boolean, options: JournalOptions) {
    this.#store = store
    this.#isHeld = isHeld
    this.#options = options
  }

  /** The saga's share of the next batch. What is put into it before the next turn of the event loop goes with it. */
  share(sagaId: string, name: string, guard: Guard): Pending {
    let pending = this.#waiting.get(sagaId)
    if (pending === undefined) {
      pending = new Pending(sagaId, name, guard)
      this.#waiting.set(sagaId, pending)
      this.#schedule()
    }
    return pending
  }

  /**
   * Takes the saga's share out of the queue, to be written by the caller's own transaction, once what is under way for
   * it is durable. Settle or fail it.
   */
  async take(sagaId: string): Promise<Pending | undefined> {
    await this.#underWay.get(sagaId)?.durable
    const pending = this.#waiting.get(sagaId)
    if (pending !== undefined) this.#waiting.delete(sagaId)
    return pending
  }

  /** Puts back what was taken and could not be written; what came meanwhile goes behind it. */
  putBack(pending: Pending): void {
    const later = this.#waiting.get(pending.sagaId)
    if (later !== undefined) {
      pending.entries.push(...later.entries)
      pending.change = later.change ?? pending.change
      pending.beside.push(...later.beside)
      pending.durable.then(later.settle, later.fail)
    }
    this.#waiting.set(pending.sagaId, pending)
    this.#schedule()
  }

  /** Fulfils when all that the saga has appended so far is durable. */
  durable(sagaId: string): Promise<unknown> | undefined {
    return (this.#waiting.get(sagaId) ?? this.#underWay.get(sagaId))?.durable
  }

  /** Fulfils when nothing waits and nothing is under way. */
  async drained(): Promise<void> {
    if (this.#inFlight === 0 && this.#waiting.size === 0) return
    await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= this.#options.inFlightMax) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    if (this.#inFlight >= this.#options.inFlightMax) return
    const shares: Pending[] = []
    for (const [id, pending] of this.#waiting) {
      if (shares.length >= this.#options.batchMax) break
      if (this.#underWay.has(id)) continue
      shares.push(pending)
    }
    if (shares.length === 0) {
      if (this.#inFlight === 0 && this.#waiting.size === 0) for (const done of this.#idle.splice(0)) done()
      return
    }
    for (const share of shares) {
      this.#waiting.delete(share.sagaId)
      this.#underWay.set(share.sagaId, share)
    }
    this.#inFlight++
    void this.#write([...shares]).finally(() => {
      this.#inFlight--
      for (const share of shares) this.#underWay.delete(share.sagaId)
      this.#schedule()
    })
    this.#schedule()
  }

  /** Takes out of `shares` those that need not be tried any more. */
  async #write(shares: Pending[]): Promise<void> {
    const { log } = this.#options
    for (let failures = 0; ; ) {
      for (let i = shares.length - 1; i >= 0; i--) {
        const share = shares[i] as Pending
        if (this.#isHeld(share.guard)) continue
        shares.splice(i, 1)
        share.fail(stale(share))
      }
      if (shares.length === 0) return
      try {
        await failpoint('saga.journal.before')
        const written = await this.#commit(shares)
        await failpoint('saga.journal.after')
        for (const share of shares) {
          if (written.holds(share.guard)) share.settle({ started: written.started.has(share.sagaId) })
          else share.fail(stale(share))
        }
        return
      } catch (error) {
        if (isRefusal(error) && shares.length > 1) {
          // One share that the database refuses must not hold up the others.
          await Promise.all(shares.map((share) => this.#write([share])))
          return
        }
        if (isRefusal(error)) {
          shares[0]?.fail(error)
          return
        }
        failures += 1
        log.warn('the journal could not be written; trying again', { error, failures, sagas: shares.length })
        await this.#store.clock.sleep(backoffMs(failures, RETRY, this.#store.clock))
      }
    }
  }

  async #commit(shares: readonly Pending[]): ReturnType<typeof commitBatch> {
    const batch = batchOf(shares)
    const { figures } = this
    figures.commits += 1
    figures.entries += batch.appends.length
    figures.batchMax = Math.max(figures.batchMax, shares.length)
    const beside = shares.filter((share) => share.beside.length > 0)
    if (beside.length === 0) return commitBatch(this.#store, batch)
    return this.#store.transaction(
      async (tx) => {
        const written = await writeBatch(tx, batch)
        // In one order, since these change rows of other sagas.
        for (const share of [...beside].sort((a, b) => (a.sagaId < b.sagaId ? -1 : 1))) {
          if (written.holds(share.guard)) for (const work of share.beside) await work(tx)
        }
        return written
      },
      { isolation: 'read-committed', urgent: true },
    )
  }
}

export function batchOf(shares: readonly Pending[]): Batch {
  const starts: (Guard & { saga: NewSaga })[] = []
  const appends: (Guard & { sagaId: string; entry: Entry })[] = []
  const changes: (Guard & { sagaId: string; name: string; change: Change })[] = []
  for (const { sagaId, name, guard, start, entries, change } of shares) {
    if (start !== undefined) starts.push({ ...guard, saga: start })
    for (const entry of entries) appends.push({ ...guard, sagaId, entry })
    if (change !== undefined) changes.push({ ...guard, sagaId, name, change })
  }
  return { starts, appends, changes }
}

export function stale({ sagaId, guard }: Pick<Pending, 'sagaId' | 'guard'>): StaleEpochError {
  return new StaleEpochError(`saga "${sagaId}" in partition ${guard.partition}`, {
    presented: guard.epoch,
    current: undefined,
  })
}

/** Sent again, it would be answered the same: by the database, or by what goes beside it. */
const REFUSALS: ReadonlySet<string> = new Set([
  'CONSTRAINT_VIOLATED',
  'STATEMENT_FAILED',
  'PAYLOAD_INVALID',
  'CONFIG_INVALID',
  'UNSUPPORTED',
])

function isRefusal(error: unknown): boolean {
  const { code } = error as { code?: string }
  return code !== undefined && REFUSALS.has(code)
}
