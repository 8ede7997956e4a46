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

/** Something that the model does not allow, with the operations that show it. */
export interface Anomaly {
  /** The published name where there is one: `G-single`, `lost-update`, `nonlinearizable`. */
  readonly type: string
  readonly explanation: string
  readonly operations: readonly InvolvedOperation[]
}

/**
 * What a check found. `valid` is proved: every operation has its place. `invalid` comes with at least one anomaly.
 * `unknown` has a `reason`: time or memory ran out, or the history does not say enough.
 */
export interface Verdict {
  readonly verdict: 'valid' | 'invalid' | 'unknown'
  readonly model: string
  /** How many operations (for transactional models: transactions) were looked at. */
  readonly operations: number
  readonly anomalies: readonly Anomaly[]
  readonly reason?: string
  readonly seconds: number
}
