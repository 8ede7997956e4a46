import type { Operation } from './operation.ts'

/** What a model sees of an operation. */
export interface ModelOperation {
  readonly process: string | number
  readonly f: string
  readonly input: unknown
  /** What was answered. Meaningless unless `known`. */
  readonly output: unknown
  readonly known: boolean
}

/**
 * An object as pure functions: what it does when operations come one after the other.
 *
 * States are plain immutable data; `undefined` is no state. `step` answers the state after the operation, or `undefined`
 * when the object could not have answered so in that state. It must be deterministic, and when `known` is false it must
 * accept whatever the operation may have done there.
 */
export interface Model<State = unknown> {
  readonly name: string
  init(): State
  step(state: State, operation: ModelOperation): State | undefined
  /** Default: equal contents. Give it together with `hash`. */
  equal?(a: State, b: State): boolean
  /** Equal states must have equal hashes. Default: a text of the contents, for which `equal` is not asked. */
  hash?(state: State): string | number
  /**
   * Splits the object into ones that do not depend on each other: operations with equal answers belong together.
   * Default: the operation's `key`.
   */
  partition?(operation: ModelOperation & { readonly key: unknown }): unknown
  /**
   * Splits the operations of one object that are several steps into these, before they are looked at: copies with `partOf`
   * and `after`. `unit` is what a place is called in an error. Default: each operation is one step.
   */
  steps?(operations: readonly Operation[], unit: string): readonly Operation[]
  /**
   * What is wrong with an operation that no object of this kind could be asked, or could answer, such as an amount that is no
   * number: the history is then malformed and not checked. Default: nothing.
   */
  problem?(operation: ModelOperation): string | undefined
  /** The names of the operations, for the message about an unknown one. Default: any. */
  readonly operations?: readonly string[]
  /**
   * True when an operation with that answer leaves every state as it is in which it can happen: a read. Saying so makes
   * the search much faster; saying it wrongly makes it wrong. Default: none does.
   */
  readOnly?(operation: ModelOperation): boolean
  /** True when the same operation of two processes differs, as with locks. Default false. */
  readonly perProcess?: boolean
}
