import { isHoldfastError } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import {
  checkArguments,
  checkOptions,
  isFunction,
  isName,
  isObject,
  optionsOf,
  show,
} from '../core/options.ts'
import { pruneEffects } from '../effects/index.ts'
import { isStore, isTransaction } from '../store/arguments.ts'
import {
  type OwnTransaction,
  SerializationError,
  type Store,
  type Transaction,
  type TransactionOptions,
} from '../store/index.ts'
import type { StepRefusedError } from './errors.ts'
import { findRows, forgetRows, keyOf, passGate } from './gate.ts'
import { storeResults } from './results.ts'
import { isForward, nameOf, STEP_PHASES, type StepCall, type StepPhase, stepChecks } from './step.ts'
import { encodeRefusal, encodeResult } from './stored.ts'
import { isClear, judge, rowsOf, type Verdict } from './verdict.ts'

export interface ParticipantOptions {
  /** Tells the participants of one database apart. Default `default`. */
  readonly name?: string
  /**
   * How long a step is remembered, by the store's clock. A repetition, or an undo, that comes later finds nothing and
   * runs again (or leaves a mark), so it has to outlast the longest saga and its longest delay. Default 30 days.
   */
  readonly windowMs?: number
}

/** What became of a call. Results have been through JSON, on every way. */
export interface StepOutcome<Result> {
  /**
   * `done`: the work ran. `repeated`: it had run before, and this is what it gave then. `nothing`: an undo or cancel of
   * what never happened (or was refused); it can never happen any more.
   */
  readonly kind: 'done' | 'repeated' | 'nothing'
  readonly result: Result | undefined
}

export interface StepContext extends StepCall {
  /** What the forward phase gave, for undo, confirm and cancel. Undefined where it gave nothing. */
  readonly forward: unknown
  readonly signal: AbortSignal
}

/** The side of a saga's step that has the effect: each call at most once, in order, and never for a stale attempt. */
export interface Participant {
  readonly store: Store
  readonly name: string
  readonly windowMs: number

  /**
   * Runs `work` in the transaction that you have open (Holdfast's or a joined one), unless the call was run before.
   *
   * Guarantee: of all calls with the same saga, step and phase, one committed transaction holds the writes of `work`. A
   * repetition gets the stored result; a forward step that comes after its undo is refused; so is an older epoch once a
   * newer one was seen here for this saga, whatever the step. Other calls of the same saga wait here until this
   * transaction has ended.
   * What `work` throws passes through, and nothing is recorded: let it end the transaction.
   * Bounds: one statement before `work`, and one with COMMIT when it gave a result. A result of at most 1 000 000 bytes as JSON.
   * @throws StaleEpochError, StepUndoneError, StepConfirmedError, StepNotTriedError; StepRefusedError when it was refused
   * before; PayloadError for a result that JSON cannot hold
   */
  run<Result>(
    tx: Transaction,
    call: StepCall,
    work: (context: StepContext) => Promise<Result>,
  ): Promise<StepOutcome<Result>>

  /**
   * The same in a transaction of its own, which is run again when the database asks for it. A StepRefusedError of `do` or
   * `try` is kept as well, after the rollback, so that a copy of the call that comes late is refused like the first one.
   */
  transaction<Result>(
    call: StepCall,
    work: (tx: OwnTransaction, context: StepContext) => Promise<Result>,
    options?: Omit<TransactionOptions, 'readOnly'>,
  ): Promise<StepOutcome<Result>>

  /**
   * Makes the call's epoch the one that was seen here for the saga, and does nothing else: from the COMMIT on, older ones
   * are refused. Waits for a call of the saga that is under way.
   * @throws StaleEpochError when a newer one was seen
   */
  advance(tx: Transaction, call: StepCall): Promise<void>

  /** Forgets what is older than the window, in bounded batches. Gives the number of rows removed. */
  prune(options?: { readonly signal?: AbortSignal }): Promise<number>
}

/** @throws ConfigError for options that cannot work */
export function createParticipant(store: Store, options: ParticipantOptions = {}): Participant {
  checkArguments('createParticipant', isStore(store), isObject('options', options))
  const { name = 'default', windowMs = 30 * 86_400_000 } = options
  checkOptions(
    'createParticipant',
    options,
    ['name', 'windowMs'],
    [
      isName('name', name, 150),
      (Number.isFinite(windowMs) && windowMs >= 1_000) ||
        `windowMs must be at least 1000 milliseconds, got ${show(windowMs)}`,
    ],
  )
  const scope = `participant/${name}`

  async function advance(tx: Transaction, call: StepCall): Promise<void> {
    checkArguments('participant.advance', isTransaction(tx), isObject('call', call))
    checkOptions('participant.advance', call, ['saga', 'step', 'phase', 'epoch'], stepChecks(call))
    await passGate(tx, scope, call, [])
  }

  async function run<Result>(
    tx: Transaction,
    call: StepCall,
    work: (context: StepContext) => Promise<Result>,
  ): Promise<StepOutcome<Result>> {
    checkArguments('participant.run', isTransaction(tx), isObject('call', call), isFunction('the work', work))
    checkOptions('participant.run', call, ['saga', 'step', 'phase', 'epoch'], stepChecks(call))
    await failpoint('participant.begun')
    const { verdict, inserted } = await enter(tx, call, rowsOf(call.phase))
    await failpoint('participant.recorded')
    if (verdict.kind === 'refuse') {
      await forgetRows(tx, scope, call, inserted)
      throw verdict.error
    }
    if (verdict.kind === 'repeated') return { kind: 'repeated', result: verdict.result as Result }
    if (verdict.kind === 'nothing') return { kind: 'nothing', result: undefined }
    try {
      const result: unknown = await work(contextOf(tx, call, verdict.forward))
      await failpoint('participant.worked')
      if (result === undefined) return { kind: 'done', result: undefined }
      const text = encodeResult(nameOf(call), result)
      tx.beforeCommit(storeResults, { scope, id: call.saga, phase: keyOf(call.step, call.phase), text })
      return { kind: 'done', result: JSON.parse(text) as Result }
    } catch (error) {
      // A caller that catches this and goes on must not commit a step without its work. When the transaction has failed
      // as a whole this fails too, and nothing commits.
      await forgetRows(tx, scope, call, inserted).catch(() => {})
      throw error
    }
  }

  /** Inserts first. Looks only when a row was there, and then it is certain that the gate is held. */
  async function enter(
    tx: Transaction,
    call: StepCall,
    rows: readonly { readonly phase: StepPhase; readonly result: string | null }[],
  ): Promise<{ verdict: Exclude<Verdict, { kind: 'again' }>; inserted: Set<StepPhase> }> {
    const inserted = await passGate(tx, scope, call, rows)
    const clear = isClear(call.phase, inserted)
    if (clear !== undefined && clear.kind !== 'again') return { verdict: clear, inserted }
    const found = await findRows(
      tx,
      scope,
      call,
      STEP_PHASES.filter((phase) => !inserted.has(phase)),
    )
    const verdict = judge(call, inserted, found)
    if (verdict.kind === 'again')
      throw new SerializationError({ cause: new Error('the step was forgotten meanwhile') })
    return { verdict, inserted }
  }

  async function transaction<Result>(
    call: StepCall,
    work: (tx: OwnTransaction, context: StepContext) => Promise<Result>,
    given: Omit<TransactionOptions, 'readOnly'> = {},
  ): Promise<StepOutcome<Result>> {
    checkArguments('participant.transaction', isObject('call', call), isFunction('the work', work))
    try {
      return await store.transaction((tx) => run(tx, call, (context) => work(tx, context)), given)
    } catch (error) {
      if (!isRefusal(error) || error.repeated || !isForward(call.phase)) throw error
      await failpoint('participant.refused')
      return keepRefusal<Result>(call, error, given)
    }
  }

  /** The refusal competes with copies of the call for the row of the step; one that was accepted meanwhile has won. */
  function keepRefusal<Result>(
    call: StepCall,
    error: StepRefusedError,
    given: TransactionOptions,
  ): Promise<StepOutcome<Result>> {
    const rows = [{ phase: call.phase, result: encodeRefusal(error) }]
    return store
      .transaction(async (tx) => {
        const { verdict } = await enter(tx, call, rows)
        if (verdict.kind === 'refuse') throw verdict.error
        if (verdict.kind === 'repeated') return { kind: 'repeated', result: verdict.result as Result }
        return undefined
      }, given)
      .then((outcome) => {
        if (outcome === undefined) throw error
        return outcome as StepOutcome<Result>
      })
  }

  return {
    store,
    name,
    windowMs,
    run,
    transaction,
    advance,
    async prune(options = {}) {
      const { signal } = optionsOf('participant.prune', options)
      checkOptions('participant.prune', options, ['signal'], [])
      return pruneEffects(store, { scope, olderThanMs: windowMs, ...(signal && { signal }) })
    },
  }
}

/** A signal is made when somebody asks for it: that costs as much as the rest of what is done here. */
function contextOf(tx: Transaction, call: StepCall, forward: unknown): StepContext {
  return {
    ...call,
    forward,
    get signal() {
      return tx.signal
    },
  }
}

function isRefusal(error: unknown): error is StepRefusedError {
  return isHoldfastError(error) && error.code === 'STEP_REFUSED'
}
