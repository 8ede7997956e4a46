import type { Store } from '../store/store.ts'
import type { OwnTransaction } from '../store/transaction.ts'
import type { TwoPhase } from '../two-phase/index.ts'
import type { AttemptContext } from './attempt.ts'
import { type Branches, callAll, callRace } from './calls/branches.ts'
import { callChild } from './calls/child.ts'
import { idAt, randomAt } from './calls/derived.ts'
import { callHttp } from './calls/http.ts'
import { callMessage } from './calls/message.ts'
import { callPivot } from './calls/pivot.ts'
import { Place, type PlaceOptions } from './calls/place.ts'
import { callStep } from './calls/step.ts'
import { callTcc } from './calls/tcc.ts'
import { callTransaction } from './calls/transaction.ts'
import { callTwoPhase } from './calls/two-phase.ts'
import { callReceive, callSleep } from './calls/wait.ts'
import type {
  ForwardContext,
  ForwardOptions,
  HttpCall,
  MessageCall,
  ReceiveOptions,
  StepOptions,
  Tcc,
  TransactionStepOptions,
  TwoPhaseStepOptions,
} from './context.ts'
import type { SagaRun } from './run.ts'
import type { Saga } from './saga.ts'

type BranchCode = Readonly<Record<string, (s: never) => Promise<unknown>>>

/**
 * What a saga's code calls, before and after the pivot; its types are those of `SagaContext` and `ForwardContext`. Each
 * call is answered by the journal, or done and recorded.
 */
export class Branch {
  readonly #place: Place

  constructor(place: Place) {
    this.#place = place
  }

  /** The one that the code of a saga is given. */
  static root(run: SagaRun, at: Pick<PlaceOptions, 'lastMs'>): Branch {
    return new Branch(new Place(run, { path: '', signal: run.abort, forward: false, lastSeq: 0, ...at }))
  }

  get sagaId(): string {
    return this.#place.run.id
  }

  close(): void {
    this.#place.close('ended')
  }

  now(): number {
    return this.#place.lastMs
  }

  random(): number {
    return randomAt(this.#place)
  }

  id(): string {
    return idAt(this.#place)
  }

  patched(id: string): boolean {
    return this.#place.patched(id)
  }

  step(name: string, ...rest: readonly unknown[]): Promise<unknown> {
    return callStep(this.#place, name, rest)
  }

  transaction(
    name: string,
    store: Store,
    work: (tx: OwnTransaction, context: AttemptContext) => Promise<unknown>,
    options?: TransactionStepOptions<unknown>,
  ): Promise<unknown> {
    return callTransaction(this.#place, name, store, work, options)
  }

  twoPhase(
    name: string,
    twoPhase: TwoPhase,
    stores: readonly Store[],
    work: (txs: readonly OwnTransaction[], context: AttemptContext) => Promise<unknown>,
    options?: TwoPhaseStepOptions<readonly Store[], unknown>,
  ): Promise<unknown> {
    return callTwoPhase(this.#place, name, twoPhase, stores, work, options)
  }

  tcc(name: string, phases: Tcc<unknown>): Promise<unknown> {
    return callTcc(this.#place, name, phases)
  }

  http(name: string, call: HttpCall<unknown>): Promise<unknown> {
    return callHttp(this.#place, name, call)
  }

  message(name: string, call: MessageCall<unknown>): Promise<unknown> {
    return callMessage(this.#place, name, call)
  }

  child(
    name: string,
    child: Saga<unknown, unknown>,
    input: unknown,
    options?: Pick<StepOptions<unknown, unknown>, 'undo' | 'undoRetry'>,
  ): Promise<unknown> {
    return callChild(this.#place, name, child, input, options)
  }

  /** Not async: what `begin` gives never causes an unhandled rejection, so neither must this. */
  pivot(
    name: string,
    work: (context: AttemptContext) => unknown,
    options?: ForwardOptions,
  ): Promise<unknown> {
    const passed = callPivot(this.#place, name, work, options).then(({ forward, result }) =>
      Object.assign(new Branch(forward) as unknown as ForwardContext, { result }),
    )
    passed.catch(() => {})
    return passed
  }

  sleep(name: string, ms: number): Promise<void> {
    return callSleep(this.#place, name, ms)
  }

  receive(name: string, options?: ReceiveOptions<unknown>): Promise<unknown> {
    return callReceive(this.#place, name, options)
  }

  all(name: string, branches: BranchCode): Promise<unknown> {
    return callAll(this.#place, name, given(branches))
  }

  race(name: string, branches: BranchCode): Promise<unknown> {
    return callRace(this.#place, name, given(branches))
  }
}

/** The code of each branch gets a Branch where the inside has a Place. */
function given(branches: BranchCode): Branches {
  return Object.fromEntries(
    Object.entries(branches).map(([key, code]) => [key, (place) => code(new Branch(place) as never)]),
  )
}
