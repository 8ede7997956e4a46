import { throwIfAborted } from '../core/abort.ts'
import { ConfigError, UnsupportedError } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import { checkArguments, isFunction } from '../core/options.ts'
import { runHooks } from './after-commit.ts'
import { Deadline } from './deadline.ts'
import type { Session } from './engine.ts'
import { TransactionTimeoutError } from './errors.ts'
import { type Ground, openTransaction } from './open-transaction.ts'
import {
  type EndOptions,
  isGid,
  type PreparedEnd,
  type PreparedEngine,
  type PreparedTransactions,
  type PreparedWork,
  type PrepareOptions,
} from './prepared.ts'
import type { OwnScope } from './scope.ts'
import { resolveTransactionOptions } from './transaction-options.ts'
import { within } from './within.ts'

/** The longest that ending a prepared transaction may take; it stays prepared then, or was ended without our knowing. */
const END_WAIT_MS = 10_000

/** Transactions that outlive their session, on an engine that has them. */
export function preparedTransactions(ground: Ground, prepared: PreparedEngine): PreparedTransactions {
  const end = (gid: string, how: 'commit' | 'rollback', options: EndOptions): Promise<PreparedEnd> => {
    if (!isGid(gid))
      return Promise.reject(new ConfigError(how, [`"${gid}" is no name of a prepared transaction`]))
    return withDeadline(options, (signal) => prepared.end(gid, how, signal))
  }
  return {
    prepare: (gid, work, options = {}) => runPrepared(ground, gid, work, options),
    commit: (gid, options = {}) => end(gid, 'commit', options),
    rollback: (gid, options = {}) => end(gid, 'rollback', options),
    list: (like, options = {}) => withDeadline(options, (signal) => prepared.list(like, signal)),
    obstacles: (options = {}) => withDeadline(options, (signal) => prepared.obstacles(signal)),
  }
}

/** Runs the work once and keeps it. What failed may have been kept: the caller looks by its name. */
async function runPrepared<T>(
  ground: Ground,
  gid: string,
  work: (tx: OwnScope) => Promise<T>,
  given: PrepareOptions,
): Promise<PreparedWork<T>> {
  checkArguments('prepare', isFunction('the work', work))
  const { timeoutMs, signal } = resolveTransactionOptions(given)
  if (!isGid(gid)) throw new ConfigError('prepare', [`"${gid}" cannot be the name of a prepared transaction`])
  throwIfAborted(signal)
  const deadline = new Deadline(timeoutMs, () => new TransactionTimeoutError(timeoutMs), signal)
  try {
    const { session, scope, result } = await openTransaction(
      ground,
      { mode: given, attempt: 1, deadline },
      async (tx) => {
        const result = await work(tx)
        const last = await tx.flush()
        if (last !== undefined) await tx.runLast(last)
        return result
      },
    )
    const kept = await prepare(session).catch((error: unknown) => {
      session.release(true)
      throw error
    })
    return preparedWork({ gid, session, scope, result, kept })
  } finally {
    deadline.clear()
  }

  async function prepare(session: Session): Promise<boolean> {
    await failpoint('store.prepare.before')
    const kept = await deadline.race(
      session.prepare?.(gid) ?? Promise.reject(new UnsupportedError('no prepare')),
    )
    await failpoint('store.prepare.after')
    return kept
  }
}

function withDeadline<T>(options: EndOptions, run: (signal: AbortSignal) => Promise<T>) {
  const { timeoutMs, signal } = resolveTransactionOptions(options)
  const deadline = new Deadline(timeoutMs, () => new TransactionTimeoutError(timeoutMs), signal)
  return deadline.race(run(deadline.signal)).finally(() => deadline.clear())
}

function preparedWork<T>({
  gid,
  session,
  scope,
  result,
  kept,
}: {
  gid: string
  session: Session
  scope: OwnScope
  result: T
  kept: boolean
}): PreparedWork<T> {
  const endPrepared = async (how: 'commit' | 'rollback'): Promise<PreparedEnd> =>
    (await session.endPrepared?.(gid, how)) ?? 'absent'
  const end = async (how: 'commit' | 'rollback'): Promise<PreparedEnd> => {
    try {
      const ended = kept ? await within(END_WAIT_MS, endPrepared(how)) : 'done'
      session.release(false)
      return ended
    } catch (error) {
      session.release(true)
      throw error
    }
  }
  return {
    result,
    kept,
    async commit({ decided = false } = {}) {
      const ended = await end('commit')
      // One that is gone may have been rolled back, and what waits for the commit (messages in memory, too) must not go out.
      if (ended === 'done' || decided) await runHooks(scope, result)
      return ended
    },
    rollback: () => end('rollback'),
    leave: () => session.release(false),
  }
}
