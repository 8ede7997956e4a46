import { randomUUID } from 'node:crypto'
import { throwIfAborted } from '../core/abort.ts'
import { type Backoff, backoffMs } from '../core/backoff.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import { ConfigError, type HoldfastError, isHoldfastError, UnsupportedError } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import { type Check, checkOptions, isCount, isDuration, isName } from '../core/options.ts'
import { Deadline } from './deadline.ts'
import type { Isolation } from './dialect.ts'
import type { BeginOptions, Engine, Session, Statement } from './engine.ts'
import {
  AfterCommitError,
  CommitUnknownError,
  isRetriable,
  StoreUnavailableError,
  TransactionTimeoutError,
} from './errors.ts'
import { noTransactionToLockIn, refuseLoneLock } from './lock-clause.ts'
import {
  type EndOptions,
  isGid,
  type PreparedEnd,
  type PreparedEngine,
  type PreparedTransactions,
  type PreparedWork,
  type PrepareOptions,
} from './prepared.ts'
import { JoinedScope, OwnScope, SyncScope } from './scope.ts'
import { compileSql, type Sql, sql } from './sql.ts'
import type { Store, TransactionOptions } from './store.ts'
import { resolveWitness, writeWitness } from './witness.ts'

/** Options that every adapter takes. */
export interface StoreOptions {
  /** Put before the name of each of Holdfast's tables. Default `holdfast_`. */
  readonly prefix?: string
  /** The schema that holds Holdfast's tables. Default: none, which means the connection's search path. */
  readonly schema?: string
  readonly clock?: Clock
}

export const STORE_OPTION_NAMES = ['prefix', 'schema', 'clock'] as const

/** PostgreSQL cuts names at 63 bytes, which would make one of two of ours; the longest has 21 without the prefix. */
const PREFIX_MAX_BYTES = 32

export function storeChecks({ prefix, schema }: StoreOptions): Check[] {
  return [
    prefix === undefined || prefix === '' || isName('prefix', prefix, PREFIX_MAX_BYTES),
    typeof prefix !== 'string' ||
      Buffer.byteLength(prefix) <= PREFIX_MAX_BYTES ||
      `prefix must have at most ${PREFIX_MAX_BYTES} bytes`,
    schema === undefined || isName('schema', schema, 63),
  ]
}

const RETRY_BACKOFF: Backoff = { baseMs: 4, capMs: 250 }

/** The longest that ROLLBACK may take before the connection is thrown away instead. */
const UNDO_WAIT_MS = 2_000

/** The longest that ending a prepared transaction may take; it stays prepared then, or was ended without our knowing. */
const END_WAIT_MS = 10_000

/** Makes a Store of an adapter's engine: the rules of transactions, written once for all databases. */
export function createStore(engine: Engine, options: StoreOptions): Store {
  const { prefix = 'holdfast_', schema, clock = systemClock } = options

  const tables = new Map<string, Sql>()
  const store: Store = {
    dialect: engine.dialect,
    clock,
    table(name) {
      let table = tables.get(name)
      if (table === undefined) {
        table = schema === undefined ? sql.ident(prefix + name) : sql.ident(schema, prefix + name)
        tables.set(name, table)
      }
      return table
    },
    tableName: (name) => prefix + name,

    transaction: (work, given = DEFAULTS) => runAttempts(work, given),

    read: (statement, values) => runAttempts((tx) => tx.query(statement, values), { readOnly: true }, true),

    async query(statement, values) {
      refuseLoneLock(textOf(statement))
      return store.transaction((tx) => tx.query(statement, values))
    },
    async execute(statement, values) {
      refuseLoneLock(textOf(statement))
      return store.transaction((tx) => tx.execute(statement, values))
    },
    lockRows: () => Promise.reject(noTransactionToLockIn()),

    async join(handle, work) {
      const scope = new JoinedScope(store, engine.adopt(handle))
      try {
        const result = await work(scope)
        const last = await scope.flush()
        if (last !== undefined) await scope.runLast(last)
        return result
      } finally {
        scope.end()
        // A statement that still waits for its turn would otherwise be sent after the user's ROLLBACK, and stand.
        await scope.quiet()
      }
    },

    joinSync(handle, work) {
      const scope = new SyncScope(store, engine.adoptSync(handle))
      try {
        const result = work(scope)
        if (result instanceof Promise) {
          result.catch(() => {})
          throw new ConfigError('joinSync', [
            'the callback must be synchronous; use join for an asynchronous one',
          ])
        }
        return result
      } finally {
        scope.end()
      }
    },

    resolve: (error) => resolveWitness(store, error),
    prepared: engine.prepared && preparedTransactions(engine.prepared),
    close: () => engine.close(),
    [Symbol.asyncDispose]: () => engine.close(),
  }
  return store

  async function runAttempts<T>(
    work: (tx: OwnScope, attempt: number) => Promise<T>,
    given: TransactionOptions,
    alone = false,
  ): Promise<T> {
    const { timeoutMs, retries, signal } = resolveTransactionOptions(given)
    throwIfAborted(signal)
    const deadline = new Deadline(timeoutMs, () => new TransactionTimeoutError(timeoutMs), signal)
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          return await runOnce(work, attempt, given, alone, deadline)
        } catch (error) {
          if (attempt > retries || !mayRunAgain(error) || deadline.fired) throw error
          await clock.sleep(backoffMs(attempt, RETRY_BACKOFF, clock), deadline.signal)
        }
      }
    } finally {
      deadline.clear()
    }
  }

  function begin(options: BeginOptions, deadline: Deadline): Session | Promise<Session> {
    const beginning = engine.begin(options)
    return beginning instanceof Promise ? inTime(beginning, deadline) : beginning
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

  function textOf(statement: Sql | string): string {
    return typeof statement === 'string' ? statement : compileSql(statement, engine.dialect).text
  }

  /** Opens a transaction and runs `work` and what it queued, but does not end it; rolls back when that fails. */
  async function runOpen<T>(
    work: (tx: OwnScope, session: Session) => Promise<T>,
    attempt: number,
    { isolation, readOnly = false, urgent = false }: TransactionOptions,
    alone: boolean,
    deadline: Deadline,
  ): Promise<{ session: Session; scope: OwnScope; result: T }> {
    const beginning = begin(new BeginRequest(isolation, readOnly, alone, urgent, deadline), deadline)
    const session = beginning instanceof Promise ? await beginning : beginning
    const scope = new OwnScope(store, session, attempt, deadline)
    try {
      const result = await deadline.race(work(scope, session))
      deadline.throwIfFired()
      scope.end()
      return { session, scope, result }
    } catch (error) {
      scope.end()
      await undo(error)
      throw error
    }

    async function undo(first: unknown): Promise<void> {
      const lost = isHoldfastError(first) && first.code === 'STORE_UNAVAILABLE'
      try {
        if (!lost) await rollBack(session, scope)
        session.release(lost)
      } catch (second) {
        session.release(true)
        if (isHoldfastError(first)) first.suppressed = second
      }
    }
  }

  async function runOnce<T>(
    work: (tx: OwnScope, attempt: number) => Promise<T>,
    attempt: number,
    options: TransactionOptions,
    alone: boolean,
    deadline: Deadline,
  ): Promise<T> {
    const { witness = false } = options
    const transactionId = witness ? randomUUID() : undefined
    let last: Statement | undefined
    const { session, scope, result } = await runOpen(run, attempt, options, alone, deadline)
    await commit()
    if (scope.hooks.length > 0) await runHooks(scope, result)
    return result

    async function run(tx: OwnScope, session: Session): Promise<T> {
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
        await failpoint('store.commit.before')
        const sent = last === undefined ? session.commit() : (session.commitWith?.(last) ?? session.commit())
        try {
          await deadline.race(sent)
        } catch (error) {
          if (last !== undefined && error === deadline.reason) found = await stopLast(sent)
          if (found !== 'applied') throw error
        }
        await failpoint('store.commit.after')
      } catch (error) {
        const refused = isHoldfastError(error) && error.outcome === 'not-applied' && error !== deadline.reason
        const lost = isHoldfastError(error) && error.code === 'STORE_UNAVAILABLE'
        const answered = refused || found === 'not-applied'
        session.release(!answered || lost)
        if (answered) throw error
        throw new CommitUnknownError(transactionId ?? randomUUID(), witness, { cause: error })
      }
      session.release(false)
    }

    /**
     * The deadline fired while the last statement was under way with COMMIT behind it, and it may wait for a lock: it is
     * stopped, and its answer waited for. Undefined when none comes.
     */
    async function stopLast(sent: Promise<void>): Promise<'applied' | 'not-applied' | undefined> {
      const ended = sent.then(
        () => 'applied' as const,
        (error) =>
          (error as HoldfastError).outcome === 'not-applied' ? ('not-applied' as const) : undefined,
      )
      const asked = Promise.resolve(session.cancel()).then(() => ended)
      return within(UNDO_WAIT_MS, asked).catch(() => undefined)
    }
  }

  async function runPrepared<T>(
    gid: string,
    work: (tx: OwnScope) => Promise<T>,
    given: PrepareOptions,
  ): Promise<PreparedWork<T>> {
    const { timeoutMs, signal } = resolveTransactionOptions(given)
    if (!isGid(gid))
      throw new ConfigError('prepare', [`"${gid}" cannot be the name of a prepared transaction`])
    throwIfAborted(signal)
    const deadline = new Deadline(timeoutMs, () => new TransactionTimeoutError(timeoutMs), signal)
    try {
      const { session, scope, result } = await runOpen(
        async (tx) => {
          const result = await work(tx)
          const last = await tx.flush()
          if (last !== undefined) await tx.runLast(last)
          return result
        },
        1,
        given,
        false,
        deadline,
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

  function withDeadline<T>(
    { timeoutMs = 30_000, signal }: EndOptions,
    run: (signal: AbortSignal) => Promise<T>,
  ) {
    const deadline = new Deadline(timeoutMs, () => new TransactionTimeoutError(timeoutMs), signal)
    return deadline.race(run(deadline.signal)).finally(() => deadline.clear())
  }

  function preparedTransactions(prepared: PreparedEngine): PreparedTransactions {
    const end = (gid: string, how: 'commit' | 'rollback', options: EndOptions): Promise<PreparedEnd> => {
      if (!isGid(gid))
        return Promise.reject(new ConfigError(how, [`"${gid}" is no name of a prepared transaction`]))
      return withDeadline(options, (signal) => prepared.end(gid, how, signal))
    }
    return {
      prepare: (gid, work, options = {}) => runPrepared(gid, work, options),
      commit: (gid, options = {}) => end(gid, 'commit', options),
      rollback: (gid, options = {}) => end(gid, 'rollback', options),
      list: (like, options = {}) => withDeadline(options, (signal) => prepared.list(like, signal)),
      obstacles: (options = {}) => withDeadline(options, (signal) => prepared.obstacles(signal)),
    }
  }
}

/** Runs what waits for the commit, and reports all that failed. */
async function runHooks(scope: OwnScope, result: unknown): Promise<void> {
  const errors: unknown[] = []
  for (const hook of scope.hooks) {
    try {
      await hook()
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw new AfterCommitError(result, errors)
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
    async commit() {
      const ended = await end('commit')
      await runHooks(scope, result)
      return ended
    },
    rollback: () => end('rollback'),
    leave: () => session.release(false),
  }
}

class BeginRequest implements BeginOptions {
  readonly isolation: Isolation | undefined
  readonly readOnly: boolean
  readonly alone: boolean
  readonly urgent: boolean
  readonly #deadline: Deadline

  constructor(
    isolation: Isolation | undefined,
    readOnly: boolean,
    alone: boolean,
    urgent: boolean,
    deadline: Deadline,
  ) {
    this.isolation = isolation
    this.readOnly = readOnly
    this.alone = alone
    this.urgent = urgent
    this.#deadline = deadline
  }

  get signal(): AbortSignal {
    return this.#deadline.signal
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

class Late extends StoreUnavailableError {}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Late('the server gave no answer in time', 'unknown')), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** What failed after COMMIT was sent must not run again, whatever caused it. */
function mayRunAgain(error: unknown): boolean {
  const outcome = (error as Partial<HoldfastError> | undefined)?.outcome
  return outcome !== 'applied' && outcome !== 'unknown' && isRetriable(error)
}

interface Limits {
  readonly timeoutMs: number
  readonly retries: number
  readonly signal: AbortSignal | undefined
}

/** What a call without options gets, which is most calls: nothing to check. */
const DEFAULTS: TransactionOptions = {}
const DEFAULT_LIMITS: Limits = { timeoutMs: 30_000, retries: 10, signal: undefined }

function resolveTransactionOptions(given: TransactionOptions): Limits {
  if (given === DEFAULTS) return DEFAULT_LIMITS
  const { timeoutMs = DEFAULT_LIMITS.timeoutMs, retries = DEFAULT_LIMITS.retries, isolation, signal } = given
  checkOptions('transaction', given, TRANSACTION_OPTION_NAMES, [
    isDuration('timeoutMs', timeoutMs),
    isCount('retries', retries, 0, 1000),
    isolation === undefined ||
      ['read-committed', 'repeatable-read', 'serializable'].includes(isolation) ||
      `isolation must be read-committed, repeatable-read or serializable, got ${String(isolation)}`,
    signal === undefined ||
      typeof signal?.addEventListener === 'function' ||
      `signal must be an AbortSignal, got ${typeof signal}`,
    !(given.readOnly && given.witness) || 'witness needs a transaction that may write, not readOnly',
  ])
  return { timeoutMs, retries, signal }
}

const TRANSACTION_OPTION_NAMES = [
  'isolation',
  'readOnly',
  'timeoutMs',
  'retries',
  'signal',
  'witness',
  'urgent',
]
