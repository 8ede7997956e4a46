import { isHoldfastError } from '../core/errors.ts'
import type { Deadline } from './deadline.ts'
import type { Engine, Session } from './engine.ts'
import { OwnScope } from './scope.ts'
import type { Store, TransactionOptions } from './store.ts'
import { Late, within } from './within.ts'

/** The longest that ROLLBACK may take before the connection is thrown away instead. */
export const UNDO_WAIT_MS = 2_000

/** Where a transaction runs: an engine, and the store that its work sees. */
export interface Ground {
  readonly store: Store
  readonly engine: Engine
  /** Called after each commit that wrote a witness. */
  readonly witnessed: () => void
}

/** A transaction whose work is done, and which is neither committed nor rolled back. */
export interface OpenTransaction<T> {
  readonly session: Session
  readonly scope: OwnScope
  readonly result: T
}

export interface OpenOptions {
  readonly mode: Pick<TransactionOptions, 'isolation' | 'readOnly' | 'urgent'>
  readonly attempt: number
  /** One statement is the whole transaction. */
  readonly alone?: boolean
  readonly deadline: Deadline
}

/** Opens a transaction and runs `work` in it, but does not end it; rolls back when that fails. */
export async function openTransaction<T>(
  { store, engine }: Ground,
  { mode, attempt, alone = false, deadline }: OpenOptions,
  work: (tx: OwnScope, session: Session) => Promise<T>,
): Promise<OpenTransaction<T>> {
  const { isolation, readOnly = false, urgent = false } = mode
  const beginning = engine.begin({ isolation, readOnly, alone, urgent, deadline })
  const session = beginning instanceof Promise ? await inTime(beginning, deadline) : beginning
  const scope = new OwnScope(store, session, attempt, deadline)
  try {
    const result = await deadline.race(work(scope, session))
    deadline.throwIfFired()
    scope.end()
    return { session, scope, result }
  } catch (error) {
    scope.end()
    await undo(session, scope, error)
    throw error
  }
}

/** What arrives after the deadline is given back. */
async function inTime(beginning: Promise<Session>, deadline: Deadline): Promise<Session> {
  try {
    return await deadline.race(beginning)
  } catch (error) {
    beginning.then((late) => late.release(false)).catch(() => {})
    throw error
  }
}

async function undo(session: Session, scope: OwnScope, first: unknown): Promise<void> {
  const lost = isHoldfastError(first) && first.code === 'STORE_UNAVAILABLE'
  try {
    if (!lost) await rollBack(session, scope)
    session.release(lost)
  } catch (second) {
    session.release(true)
    if (isHoldfastError(first)) first.suppressed = second
  }
}

/**
 * ROLLBACK waits behind a statement that still runs, so that statement is stopped first: a throw gives the locks back at
 * once. A cancel that overtakes its statement finds nothing to stop, hence the repetition.
 */
async function rollBack(session: Session, scope: OwnScope): Promise<void> {
  if (!scope.busy) return within(UNDO_WAIT_MS, session.rollback())
  await session.cancel()
  const rolledBack = session.rollback()
  for (let waitMs = 50; ; waitMs *= 2) {
    try {
      return await within(waitMs, rolledBack)
    } catch (error) {
      if (!(error instanceof Late) || waitMs > UNDO_WAIT_MS / 4) throw error
      await session.cancel()
    }
  }
}
