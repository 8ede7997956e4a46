/** A part of an operation or a transaction that an anomaly names, as data. */
export interface InvolvedOperation {
  /** What names it to the reader, such as `line 12`. */
  readonly name: string
  /** The client that did it: a process, a session. */
  readonly session: string
  readonly status: 'ok' | 'fail' | 'info'
  /** What it did, such as `write 3` or, of a transaction, one entry per micro-operation. */
  readonly operations: readonly string[]
  /** Position in real time of the invocation and of the answer, where known. */
  readonly invokedAt?: number
  readonly completedAt?: number
}

/** One dependency of a cycle, as data: what the words and the drawing are made of. */
export interface ExplainedStep {
  /** The two transactions: positions in the anomaly's `operations`. */
  readonly from: number
  readonly to: number
  /** `ww`, `wr`, `rw`, the order of a session, of real time, or one that follows from others. */
  readonly kind: 'ww' | 'wr' | 'rw' | 'so' | 'rt' | 'co'
  readonly key?: string
  readonly value?: string
  readonly text: string
}

/** Something that the model does not allow, with the operations that show it. */
export interface Anomaly {
  /** The published name where there is one: `G-single`, `lost-update`, `nonlinearizable`. */
  readonly type: string
  readonly explanation: string
  readonly operations: readonly InvolvedOperation[]
  /** The cycle, in order, where the anomaly is one. */
  readonly cycle?: readonly ExplainedStep[]
  /** The longest part of the history from its beginning in which there is nothing wrong, where that is known. */
  readonly prefix?: LongestPrefix
}

export interface LongestPrefix {
  /** The operation whose answer it ends before. */
  readonly before: InvolvedOperation
  /** How many operations had ended by then, of the same key. */
  readonly operations: number
}

/**
 * What a check concluded, from anomalies of whichever form. `valid` is proved: every operation has its place. `invalid`
 * comes with at least one anomaly. `unknown` has a `reason`: time or memory ran out, or the history does not say enough.
 */
export interface Conclusion<A> {
  readonly verdict: 'valid' | 'invalid' | 'unknown'
  readonly anomalies: readonly A[]
  readonly reason?: string
}

/** What a check found, for its reader. */
export interface Verdict extends Conclusion<Anomaly> {
  readonly model: string
  /** Only of transactions; absent for `bank`. */
  readonly level?: string
  /** How many operations (for transactional models: transactions) were looked at. */
  readonly operations: number
  readonly seconds: number
}
