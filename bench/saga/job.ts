/** What one process of the saga benchmark is told, and what it answers: one line of JSON. */
export interface Job {
  readonly system: 'holdfast' | 'dbos' | 'control'
  readonly url: string
  readonly steps: number
  readonly kind: 'trivial' | 'row'
  /** `measure`: runs sagas for a while. `hang`: leaves `count` sagas half done. `recover`: finishes them. */
  readonly what: 'measure' | 'hang' | 'recover'
  readonly concurrency: number
  readonly durationMs: number
  readonly count: number
}

export interface Answer {
  readonly perSecond: number
  readonly p50Ms: number
  readonly done: number
}

/** A system under test: one three-step (or n-step) saga, run to its end. */
export interface SagaSystem {
  run(id: string): Promise<unknown>
  /** Starts a saga that stops after its first step until the process is killed. */
  hang(id: string): Promise<unknown>
  /** Fulfils when the sagas that were left half done have ended. */
  recovered(ids: readonly string[]): Promise<void>
  stop(): Promise<void>
}
