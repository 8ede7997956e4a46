import { failpoint } from '../core/failpoint.ts'
import type { OwnTransaction, Store } from '../store/index.ts'
import { countAttempt, forgetAttempts } from './attempts.ts'
import type { ResolvedConsumer } from './consumer-options.ts'
import { buryMessage } from './dead-letter.ts'
import { MessageInvalidError } from './errors.ts'
import { effectOf, type Handled, handleBatch, handleMessage, type InboxRules } from './handle.ts'
import { isTrouble, type NextStep, nextStep } from './next-step.ts'
import type { Ending, Retried, Served, Work } from './work.ts'

export interface RunnerFigures {
  handled: number
  duplicates: number
  retries: number
  deadLetters: number
}

/** Takes one message, or one batch, through its transaction, and says what is to become of it. Nothing here rejects. */
export class Runner {
  readonly figures: RunnerFigures = { handled: 0, duplicates: 0, retries: 0, deadLetters: 0 }
  readonly #store: Store
  readonly #rules: InboxRules
  readonly #options: ResolvedConsumer

  constructor(store: Store, rules: InboxRules, options: ResolvedConsumer) {
    this.#store = store
    this.#rules = rules
    this.#options = options
  }

  async run(served: Served, work: Work): Promise<Ending> {
    if (work.retried !== undefined) return this.#runRetried(served, work, work.retried)
    try {
      if (!(await this.#count(served, work))) return { kind: 'alone' }
      if (work.attempt > this.#options.retry.attemptsMax) {
        throw new MessageInvalidError(
          `the process ended while this message was being handled, ${work.attempt - 1} attempts after the first`,
        )
      }
      if (work.fault !== undefined) throw new MessageInvalidError(work.fault)
      const handled = await this.#transaction(served, async (tx) => {
        const outcome = await this.#handle(tx, served, work)
        if (work.hasRow) await forgetAttempts(tx, effectOf(this.#options.group, work.message))
        return outcome
      })
      this.#tally(handled)
      await failpoint('inbox.consume.committed')
      work.delivery.ack()
      await failpoint('inbox.consume.acked')
      return { kind: 'settled' }
    } catch (error) {
      return this.#afterFailure(served, work, error)
    }
  }

  /** One transaction for all. Should it fail, the messages go one by one, which finds the one at fault. */
  async runBatch(served: Served, works: readonly Work[]): Promise<Ending> {
    const { group, batchHandler, log } = this.#options
    try {
      const handled = await this.#transaction(served, (tx) =>
        handleBatch(
          tx,
          works.map((work) => work.message),
          async (messages) => {
            try {
              await batchHandler?.(tx, messages, { signal: tx.signal, attempt: 1 })
            } catch (error) {
              throw ofHandler(error)
            }
          },
          this.#rules,
          { group, lease: served.lease },
        ),
      )
      this.figures.handled += handled
      this.figures.duplicates += works.length - handled
      await failpoint('inbox.consume.committed')
      for (const work of works) work.delivery.ack()
      await failpoint('inbox.consume.acked')
      return { kind: 'settled' }
    } catch (error) {
      if (served.signal.aborted) return { kind: 'dropped' }
      if (isStale(error)) {
        served.lose(error)
        return { kind: 'dropped' }
      }
      log.warn('a batch failed; its messages are handled one by one', {
        topic: served.topic,
        size: works.length,
        error,
      })
      // Not an attempt of any one of them; `counted` also keeps them out of the next batch.
      for (const work of works) work.counted = true
      return { kind: 'singly' }
    }
  }

  #handle(tx: OwnTransaction, served: Served, work: Work): Promise<Handled<unknown>> {
    const { group, handler, batchHandler } = this.#options
    const context = { signal: tx.signal, attempt: work.attempt }
    return handleMessage(
      tx,
      work.message,
      async (message) => {
        try {
          if (handler !== undefined) await handler(tx, message, context)
          else await batchHandler?.(tx, [message], context)
        } catch (error) {
          throw ofHandler(error)
        }
      },
      this.#rules,
      { group, lease: served.lease, again: work.retried !== undefined },
    )
  }

  /** An error of an `afterCommit` hook cannot undo what is committed, so it is said and not thrown. */
  async #transaction<T>(served: Served, run: (tx: OwnTransaction) => Promise<T>): Promise<T> {
    const { handlerTimeoutMs, isolation, log } = this.#options
    let committed: { readonly result: T } | undefined
    try {
      return await this.#store.transaction(
        async (tx) => {
          const result = await run(tx)
          tx.afterCommit(() => {
            committed = { result }
          })
          return result
        },
        {
          signal: served.signal,
          timeoutMs: handlerTimeoutMs,
          ...(isolation === undefined ? {} : { isolation }),
        },
      )
    } catch (error) {
      if (committed === undefined) throw error
      log.warn('a hook failed after a message was handled', { topic: served.topic, error })
      return committed.result
    }
  }

  /**
   * From the second delivery or attempt on, each attempt is counted before it begins, so that a message which kills
   * its process becomes a dead letter in the end. A crash blames all that ran at the time; whoever was blamed before
   * runs alone, so that the next crash blames the one. False: it must run alone first, and is not counted yet.
   */
  async #count(served: Served, work: Work): Promise<boolean> {
    if (work.counted || (work.attempt === 1 && !work.again)) return true
    const effect = effectOf(this.#options.group, work.message)
    const recount = work.alone || work.attempt > 1
    const attempts = await this.#transaction(served, (tx) =>
      countAttempt(tx, { effect, first: work.attempt, recount }),
    )
    work.hasRow = true
    if (attempts === undefined) return false
    work.counted = true
    work.attempt = Math.max(work.attempt, attempts)
    await failpoint('inbox.consume.counted')
    return true
  }

  async #afterFailure(served: Served, work: Work, error: unknown): Promise<Ending> {
    if (served.signal.aborted) return { kind: 'dropped' }
    const { log, retry } = this.#options
    const step = this.#stepAfter(work, error)
    const fields = { ...nameOf(work), error }
    switch (step.kind) {
      case 'lost':
        served.lose(error)
        return { kind: 'dropped' }
      case 'dead-letter':
        return this.#bury(served, work, error)
      case 'again':
        log.warn('the store could not take part in handling a message; tried again', {
          ...fields,
          waitMs: step.waitMs,
        })
        return { kind: 'wait', waitMs: step.waitMs }
      case 'retry': {
        log.warn('a handler failed', { ...fields, attemptsMax: retry.attemptsMax, waitMs: step.waitMs })
        this.figures.retries += 1
        work.attempt += 1
        work.counted = false
        const skip = this.#rules.topics[work.message.topic]?.onPoison === 'skip'
        return { kind: skip ? 'aside' : 'wait', waitMs: step.waitMs }
      }
    }
  }

  #stepAfter(work: Work, error: unknown): NextStep {
    work.troubles = isTrouble(error) ? work.troubles + 1 : 0
    const { attempt, troubles } = work
    return nextStep({ error, attempt, troubles }, this.#options.retry, this.#store.clock)
  }

  /** Gives the message up. Should that fail too, it starts again: nothing is lost. */
  async #bury(served: Served, work: Work, error: unknown): Promise<Ending> {
    const { group, broker, log, retry } = this.#options
    const fields = nameOf(work)
    try {
      const buried = await this.#transaction(served, async (tx) => {
        if (work.hasRow) await forgetAttempts(tx, effectOf(group, work.message))
        return buryMessage(tx, work.message, {
          group,
          lease: served.lease,
          partitions: broker.partitions,
          attempts: Math.min(work.attempt, retry.attemptsMax),
          error,
        })
      })
      if (buried) this.figures.deadLetters += 1
      log.error('a message became a dead letter', { ...fields, error })
      await failpoint('inbox.consume.buried')
      work.delivery.ack()
      return { kind: 'settled' }
    } catch (second) {
      if (served.signal.aborted) return { kind: 'dropped' }
      const step = this.#stepAfter(work, second)
      if (step.kind === 'lost') {
        served.lose(second)
        return { kind: 'dropped' }
      }
      log.error('a dead letter could not be stored; the message stays with the broker', {
        ...fields,
        error: second,
      })
      return { kind: 'wait', waitMs: step.kind === 'dead-letter' ? retry.capMs : step.waitMs }
    }
  }

  /** One attempt per request. */
  async #runRetried(served: Served, work: Work, retried: Retried): Promise<Ending> {
    const { log } = this.#options
    try {
      if (!(await retried.begin())) return { kind: 'settled' }
      await failpoint('inbox.retry.begun')
      const handled = await this.#transaction(served, async (tx) => {
        if (!(await retried.claim(tx))) return { kind: 'duplicate' } as const
        return this.#handle(tx, served, work)
      })
      this.#tally(handled)
      await failpoint('inbox.retry.committed')
    } catch (error) {
      log.warn('the retry of a dead letter failed', { ...nameOf(work), error })
      const interrupted = served.signal.aborted || isTrouble(error) || isStale(error)
      await (interrupted ? retried.interrupted() : retried.failed(error)).catch((second: unknown) => {
        log.error('the failure of a retried dead letter could not be stored', {
          ...nameOf(work),
          error: second,
        })
      })
    } finally {
      retried.ended()
    }
    return { kind: 'settled' }
  }

  #tally({ kind }: Handled<unknown>): void {
    if (kind === 'handled') this.figures.handled += 1
    else this.figures.duplicates += 1
  }
}

function nameOf({ message, attempt }: Work): { topic: string; id: string; attempt: number } {
  return { topic: message.topic, id: message.id, attempt }
}

function isStale(error: unknown): boolean {
  return (error as { code?: unknown } | undefined)?.code === 'STALE_EPOCH'
}

/** A stale epoch that a handler met is about a lease of its own: a failure, and not the loss of the partition. */
function ofHandler(error: unknown): unknown {
  return isStale(error) ? new Error((error as Error).message, { cause: error }) : error
}
