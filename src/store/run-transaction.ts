import { randomUUID } from 'node:crypto'
import { throwIfAborted } from '../core/abort.ts'
import { type Backoff, backoffMs } from '../core/backoff.ts'
import { ConfigError, type HoldfastError, isHoldfastError } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import { runHooks } from './after-commit.ts'
import { Deadline } from './deadline.ts'
import type { Session, StatementResult } from './engine.ts'
import { CommitUnknownError, isRetriable, TransactionTimeoutError } from './errors.ts'
import { type Ground, openTransaction, UNDO_WAIT_MS } from './open-transaction.ts'
import type { Last, OwnScope } from './scope.ts'
import type { TransactionOptions } from './store.ts'
import { resolveTransactionOptions } from './transaction-options.ts'
import { within } from './within.ts'
import { writeWitness } from './witness.ts'

const RETRY_BACKOFF: Backoff = { baseMs: 4, capMs: 250 }

/**
 * Runs `work` in a transaction, and again in a new one as long as the database says that it may be retried.
 * @throws what `work` threw, CommitUnknownError, AfterCommitError, TransactionTimeoutError, ConfigError
 */
export async function runTransaction<T>(
  ground: Ground,
  work: (tx: OwnScope, attempt: number) => Promise<T>,
  given: TransactionOptions,
  alone = false,
): Promise<T> {
  if (typeof work !== 'function') throw new ConfigError('transaction', ['the work must be a function'])
  const { timeoutMs, retries, signal } = resolveTransactionOptions(given)
  throwIfAborted(signal)
  const timedOut = () => new TransactionTimeoutError(timeoutMs, { waiting: ground.engine.waiting })
  const deadline = new Deadline(timeoutMs, timedOut, signal)
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        return await runOnce(ground, work, attempt, given, alone, deadline)
      } catch (error) {
        if (attempt > retries || !mayRunAgain(error) || deadline.fired) throw error
        const { clock } = ground.store
        await clock.sleep(backoffMs(attempt, RETRY_BACKOFF, clock), deadline.signal)
      }
    }
  } finally {
    deadline.clear()
  }
}

async function runOnce<T>(
  ground: Ground,
  work: (tx: OwnScope, attempt: number) => Promise<T>,
  attempt: number,
  options: TransactionOptions,
  alone: boolean,
  deadline: Deadline,
): Promise<T> {
  const { witness = false } = options
  const transactionId = witness ? randomUUID() : undefined
  let last: Last | undefined
  const { session, scope, result } = await openTransaction(
    ground,
    { mode: options, attempt, alone, deadline },
    run,
  )
  await commit()
  if (transactionId !== undefined) ground.witnessed()
  if (scope.hooks.length > 0) await runHooks(scope, result)
  return result

  async function run(tx: OwnScope, session: Session): Promise<T> {
    // The statement commits itself.
    if (alone) await failpoint('store.commit.before')
    const result = await work(tx, attempt)
    if (transactionId !== undefined) tx.beforeCommit(writeWitness, transactionId)
    last = await tx.flush()
    if (last === undefined || session.commitWith !== undefined) return result
    await tx.runLast(last)
    last = undefined
    return result
  }

  async function commit(): Promise<void> {
    let found: 'applied' | 'not-applied' | undefined
    try {
      if (!alone) await failpoint('store.commit.before')
      const sent = last && session.commitWith?.(last.statement)
      try {
        if (sent !== undefined) last?.onRows((await deadline.race(sent)).rows)
        else {
          const committing = session.commit()
          if (committing !== undefined) await deadline.race(committing)
        }
      } catch (error) {
        if (sent !== undefined && error === deadline.reason) found = await stopLast(sent)
        if (found !== 'applied') throw error
      }
      await failpoint('store.commit.after')
    } catch (error) {
      const refused = isHoldfastError(error) && error.outcome === 'not-applied' && error !== deadline.reason
      const lost = isHoldfastError(error) && error.code === 'STORE_UNAVAILABLE'
      const answered = refused || found === 'not-applied'
      session.release(!answered || lost)
      if (answered) throw error
      const atMs = ground.store.clock.now()
      throw new CommitUnknownError(transactionId ?? randomUUID(), witness, atMs, { cause: error })
    }
    session.release(false)
  }

  /**
   * The deadline fired while the last statement was under way with COMMIT behind it, and it may wait for a lock: it is
   * stopped, and its answer waited for. Undefined when none comes.
   */
  async function stopLast(sent: Promise<StatementResult>): Promise<'applied' | 'not-applied' | undefined> {
    const ended = sent.then(
      () => 'applied' as const,
      (error) => ((error as HoldfastError).outcome === 'not-applied' ? ('not-applied' as const) : undefined),
    )
    const asked = Promise.resolve(session.cancel()).then(() => ended)
    return within(UNDO_WAIT_MS, asked).catch(() => undefined)
  }
}

/** What failed after COMMIT was sent must not run again, whatever caused it. */
function mayRunAgain(error: unknown): boolean {
  const outcome = (error as Partial<HoldfastError> | undefined)?.outcome
  return outcome !== 'applied' && outcome !== 'unknown' && isRetriable(error)
}
