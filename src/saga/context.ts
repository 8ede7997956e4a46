/** What the code of a saga is given: the types, and the promises that go with each call. */
import type { StandardSchemaV1 } from '../core/standard-schema.ts'
import type { Outbox } from '../outbox/index.ts'
import type { Store } from '../store/store.ts'
import type { OwnTransaction } from '../store/transaction.ts'
import type { RunOptions, TransactionsOf, TwoPhase } from '../two-phase/index.ts'
import type { AttemptContext } from './attempt.ts'
import type { RetryPolicy } from './policy.ts'
import type { Saga } from './saga.ts'

export interface UndoContext<Input, Result> extends AttemptContext {
  /** The step's declared input; undefined where none was declared. */
  readonly input: Input
  /** What the step gave, as JSON has it; undefined when its outcome is not known. */
  readonly result: Result | undefined
}

export interface StepOptions<Input, Result> {
  /**
   * Gives back what the step did. Called when the step is done, or when it may have had an effect and its outcome is not
   * known; never for a step that did not run. It may be called more than once, always with the same key.
   */
  readonly undo?: (context: UndoContext<Input, Result>) => unknown
  readonly retry?: RetryPolicy
  readonly undoRetry?: RetryPolicy
  /** Bound of one attempt. Default 60 000. After it the outcome is unknown, and the step is tried again. */
  readonly timeoutMs?: number
}

/** Options of a step behind the pivot, where nothing is undone. */
export type ForwardOptions = Omit<StepOptions<unknown, unknown>, 'undo' | 'undoRetry'>

export interface TransactionStepOptions<Result> extends Omit<StepOptions<undefined, Result>, 'undo'> {
  readonly undo?: (tx: OwnTransaction, context: UndoContext<undefined, Result>) => Promise<unknown>
}

/** Options of a two-phase step behind the pivot. */
export type TwoPhaseForwardOptions = ForwardOptions & Pick<RunOptions, 'isolation'>

export interface TwoPhaseStepOptions<Stores extends readonly Store[], Result>
  extends Omit<StepOptions<undefined, Result>, 'undo'>,
    Pick<RunOptions, 'isolation'> {
  /** Runs in a transaction over the same stores, with exactly one effect. */
  readonly undo?: (
    transactions: TransactionsOf<Stores>,
    context: UndoContext<undefined, Result>,
  ) => Promise<unknown>
}

export interface Tcc<Tried> {
  /** Reserves. */
  readonly try: (context: AttemptContext) => Tried | Promise<Tried>
  /** Makes the reservation final: at the pivot, or when the code has returned. Tried again until it works. */
  readonly confirm: (context: UndoContext<undefined, Tried>) => unknown
  /** Gives the reservation back. */
  readonly cancel: (context: UndoContext<undefined, Tried>) => unknown
  readonly retry?: RetryPolicy
  readonly undoRetry?: RetryPolicy
  readonly timeoutMs?: number
}

export interface HttpCall<Result> {
  readonly url: string | URL
  /** Sent as JSON; part of what is compared on replay. */
  readonly input?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** What the answer must look like; one that does not fit fails the step. */
  readonly schema?: StandardSchemaV1<unknown, Result>
  /** True calls the same URL with the phase `undo`, as the participant's middleware expects it. */
  readonly undo?: boolean
  readonly retry?: RetryPolicy
  readonly undoRetry?: RetryPolicy
  readonly timeoutMs?: number
  readonly fetch?: typeof fetch
}

export interface MessageCall<Reply> {
  /** On the journal's own store, so that the message leaves with the journal's entry. */
  readonly outbox: Outbox
  readonly topic: string
  readonly key?: string
  readonly payload: unknown
  /** What the reply must look like; without it nothing is awaited. */
  readonly reply?: { readonly schema?: StandardSchemaV1<unknown, Reply>; readonly timeoutMs?: number }
  /** Sent when the step has to be undone; it is not answered. */
  readonly undo?: { readonly topic?: string; readonly payload: unknown }
}

export interface ReceiveOptions<Payload> {
  /** After this long the wait fails with WAIT_TIMEOUT. Default: it waits for ever. */
  readonly timeoutMs?: number
  readonly schema?: StandardSchemaV1<unknown, Payload>
}

type Results<B> = { [K in keyof B]: B[K] extends (s: never) => Promise<infer R> ? R : never }

/** What may be called before and after the pivot. */
interface Common<Self> {
  readonly sagaId: string
  /** The time of the last entry, so the same on replay. Milliseconds since 1970. */
  now(): number
  /** In [0, 1), the same on replay. */
  random(): number
  /** A UUID, the same on replay. */
  id(): string
  /** Waits, for as long as you like; the saga is laid down meanwhile. */
  sleep(name: string, ms: number): Promise<void>
  /** Waits for `handle.signal(name, payload)`; each signal is received once, in order. */
  receive<Payload = unknown>(name: string, options?: ReceiveOptions<Payload>): Promise<Payload>
  /**
   * True for sagas that had not come this far when the new code was deployed; false for those whose journal was written
   * by the old code. Keep the old way in the `else` until `check-upgrade` finds no saga that takes it.
   */
  patched(id: string): boolean
  /** Runs the branches at the same time. When one fails, the others are aborted and waited for, and its error is thrown. */
  all<const B extends Readonly<Record<string, (s: Self) => Promise<unknown>>>>(
    name: string,
    branches: B,
  ): Promise<Results<B>>
  /** The first branch to settle decides; the others are aborted, waited for, and undone at once. */
  race<const B extends Readonly<Record<string, (s: Self) => Promise<unknown>>>>(
    name: string,
    branches: B,
  ): Promise<Results<B>[keyof B]>
}

/** Before the pivot: everything can still be undone. */
export interface SagaContext extends Common<SagaContext> {
  /**
   * One call with an effect somewhere. Runs at least once; `key` is the same each time, so the other side can tell.
   * Shape: the result as JSON has it. @throws StepFailedError when it failed for good
   */
  step<Result>(
    name: string,
    work: (context: AttemptContext) => Result | Promise<Result>,
    options?: StepOptions<undefined, Result>,
  ): Promise<Result>
  /** The same with a declared input, whose hash is compared on replay. */
  step<const Input, Result>(
    name: string,
    input: Input,
    work: (context: AttemptContext & { readonly input: Input }) => Result | Promise<Result>,
    options?: StepOptions<Input, Result>,
  ): Promise<Result>
  /**
   * One transaction on a store, with exactly one effect: on the journal's own store it commits with the journal's
   * entry, on another one behind the participant's barrier.
   */
  transaction<Result>(
    name: string,
    store: Store,
    work: (tx: OwnTransaction, context: AttemptContext) => Promise<Result>,
    options?: TransactionStepOptions<Result>,
  ): Promise<Result>
  /**
   * One transaction over several stores by two-phase commit, with exactly one effect: what all attempts of the step
   * compete for commits with the decision, in the log of `twoPhase`. The log needs the tables of the effects as well.
   * After a crash the next attempt settles what the last one left prepared. `twoPhase.recovery()` has to run somewhere all
   * the same: no attempt may come back, or a participant be down.
   * Bounds: up to the decision, an attempt has the smaller of `timeoutMs` and 30 000.
   */
  twoPhase<const Stores extends readonly Store[], Result>(
    name: string,
    twoPhase: TwoPhase,
    stores: Stores,
    work: (transactions: TransactionsOf<Stores>, context: AttemptContext) => Promise<Result>,
    options?: TwoPhaseStepOptions<Stores, Result>,
  ): Promise<Result>
  /** Try, confirm, cancel. */
  tcc<Tried>(name: string, phases: Tcc<Tried>): Promise<Tried>
  /** Calls a participant over HTTP. */
  http<Result = unknown>(name: string, call: HttpCall<Result>): Promise<Result>
  /** Sends a message through the outbox, and awaits its reply. */
  message<Reply = unknown>(name: string, call: MessageCall<Reply>): Promise<Reply>
  /**
   * Runs another saga and awaits its end. When this one goes back, a child that still runs is cancelled; one that has
   * completed is undone by `undo`.
   */
  child<Input, Output>(
    name: string,
    saga: Saga<Input, Output>,
    input: Input,
    options?: Pick<StepOptions<Input, Output>, 'undo' | 'undoRetry'>,
  ): Promise<Output>
  /**
   * The step after which there is no way back. Gives the handle to go on with; this one cannot be used any more. While
   * its outcome is unknown it is tried again, and then stuck: it is neither undone nor passed.
   */
  pivot<Result>(
    name: string,
    work: (context: AttemptContext) => Result | Promise<Result>,
    options?: ForwardOptions,
  ): Promise<ForwardContext & { readonly result: Result }>
}

/** Behind the pivot: only forwards. What fails for good here makes the saga stuck. */
export interface ForwardContext extends Common<ForwardContext> {
  step<Result>(
    name: string,
    work: (context: AttemptContext) => Result | Promise<Result>,
    options?: ForwardOptions,
  ): Promise<Result>
  step<const Input, Result>(
    name: string,
    input: Input,
    work: (context: AttemptContext & { readonly input: Input }) => Result | Promise<Result>,
    options?: ForwardOptions,
  ): Promise<Result>
  transaction<Result>(
    name: string,
    store: Store,
    work: (tx: OwnTransaction, context: AttemptContext) => Promise<Result>,
    options?: ForwardOptions,
  ): Promise<Result>
  twoPhase<const Stores extends readonly Store[], Result>(
    name: string,
    twoPhase: TwoPhase,
    stores: Stores,
    work: (transactions: TransactionsOf<Stores>, context: AttemptContext) => Promise<Result>,
    options?: TwoPhaseForwardOptions,
  ): Promise<Result>
  http<Result = unknown>(name: string, call: Omit<HttpCall<Result>, 'undo' | 'undoRetry'>): Promise<Result>
  message<Reply = unknown>(name: string, call: Omit<MessageCall<Reply>, 'undo'>): Promise<Reply>
  child<Input, Output>(name: string, saga: Saga<Input, Output>, input: Input): Promise<Output>
}
