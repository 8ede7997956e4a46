/** What a file in PostgreSQL's isolation test language says, with every name resolved. */
export interface Spec {
  /** Each runs as one submission before every permutation. */
  readonly setups: readonly string[]
  readonly teardown: string | undefined
  readonly sessions: readonly SpecSession[]
  /** Undefined where the file lists none: every interleaving then. */
  readonly permutations: readonly Permutation[] | undefined
  /** Steps that no listed permutation has; the tester complains of them and goes on. */
  readonly unused: readonly string[]
}

export interface SpecSession {
  readonly name: string
  readonly setup: string | undefined
  readonly teardown: string | undefined
  readonly steps: readonly SpecStep[]
}

export interface SpecStep {
  readonly name: string
  /** Without the blanks beside its braces; line ends inside are kept. */
  readonly sql: string
  /** Index of its session. */
  readonly session: number
}

export type Permutation = readonly PermutationStep[]

export interface PermutationStep {
  readonly step: SpecStep
  readonly blockers: readonly Blocker[]
}

/** What delays the report that a step has completed. */
export type Blocker =
  /** `(*)`: the step is reported as waiting as soon as it was sent. */
  | { readonly kind: 'once' }
  /** `(other)`: not before that step has completed. */
  | { readonly kind: 'step'; readonly step: SpecStep }
  /** `(other notices n)`: not before that step's session has sent `count` notices since this one was sent. */
  | { readonly kind: 'notices'; readonly step: SpecStep; readonly count: number }
