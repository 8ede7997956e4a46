/** The number that stands in `wake_at_ms` while a runner has the saga in memory: later than any time. */
export const IN_HAND = Number.MAX_SAFE_INTEGER

/** Characters of a saga's id, at most. */
export const ID_MAX = 400

/** The sagas of a group are spread over so many partitions, each held by one runner at a time. */
export const PARTITIONS = 16

export function partitionsOf(group: string): string[] {
  return Array.from({ length: PARTITIONS }, (_, i) => `${group}/${i}`)
}

/** The scope of the leases of a group's partitions. A partition's lease has the partition's name. */
export function scopeOfGroup(group: string): string {
  return `saga/${group}`
}

export function scopeOfPartition(partition: string): string {
  return scopeOfGroup(partition.slice(0, partition.lastIndexOf('/')))
}

/**
 * `running`: going forwards, or waiting to. `undoing`: giving back, newest step first. `stuck`: what has to be done
 * failed for good, so a person decides; nobody looks at it until then. `completed`, `failed` (given back after an
 * error) and `cancelled` (given back on request or for lack of time) are final.
 */
export type SagaState = 'running' | 'undoing' | 'stuck' | 'completed' | 'failed' | 'cancelled'

/**
 * What the journal holds. Those with a position answer the call at that position of their branch:
 * `step` (a result), `failed` (for good; `data.unknown` when its effect may have happened), `timer` (a wait began, until
 * `data.untilMs`), `signal`, `timeout`, `sent` (a message left), `child` (a child was started), `race` (who won),
 * `patch`. The others belong to the whole: `attempt` (a try failed and another follows), `pivot` (nothing is undone from
 * here on), `interrupted` (its process went away while it ran), `undoing` (the turn, with the cause and the steps whose outcome is unknown), `undone`, `confirmed`,
 * `skipped` (by an operator), `stuck`, `retried`.
 */
export type EntryKind =
  | 'step'
  | 'failed'
  | 'timer'
  | 'signal'
  | 'timeout'
  | 'sent'
  | 'child'
  | 'race'
  | 'patch'
  | 'attempt'
  | 'pivot'
  | 'interrupted'
  | 'undoing'
  | 'undone'
  | 'confirmed'
  | 'skipped'
  | 'stuck'
  | 'retried'

export interface Entry {
  readonly seq: number
  readonly kind: EntryKind
  /** The step's name with those of its branches before it: `book/flight`. */
  readonly step: string
  /** The how-manieth call of its branch; -1 for entries that answer no call. */
  readonly pos: number
  /** Of the declared input. */
  readonly hash: string | null
  readonly data: string | null
  readonly atMs: number
}

/** The saga's row as a runner needs it. */
export interface SagaRow {
  readonly id: string
  readonly name: string
  readonly partition: string
  readonly state: SagaState
  readonly cancel: boolean
  /** It was in a runner's hands when that runner went away. */
  readonly interrupted: boolean
  readonly priority: number
  readonly startedAtMs: number
  readonly deadlineAtMs: number | null
  readonly parentId: string | null
  readonly flowKey: string | null
  readonly input: string | null
}

/** A saga as it is started. */
export interface NewSaga {
  readonly id: string
  readonly name: string
  readonly partition: string
  readonly wakeAtMs: number
  readonly held: 0 | 1
  readonly priority: number
  readonly startedAtMs: number
  readonly deadlineAtMs: number | null
  readonly parentId: string | null
  readonly flowKey: string | null
  readonly inputHash: string | null
  readonly input: string | null
}

/** What changes in a saga's row. `wakeAtMs` null: nobody needs to look any more. */
export interface Change {
  readonly state: SagaState
  readonly wakeAtMs: number | null
  readonly held: 0 | 1
  readonly endedAtMs: number | null
  readonly output: string | null
  readonly reason: string | null
}
