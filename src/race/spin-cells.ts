/** What the thread that watches reads of the thread that runs the tasks: places in a shared `Int32Array`. */

/** Milliseconds after which the event loop counts as kept; zero while nothing is watched. */
export const LIMIT_MS = 0
/** Counted up with each turn of the event loop. */
export const BEATS = 1
/** Whose JavaScript runs, or ran last: the index in `names` and one; zero for nobody. */
export const TASK = 2

/** The global function that the watching thread calls where the other one spins. */
export const HOOK = 'holdfast.race.spins'

/** What the hook answers. */
export type HookAnswer =
  /** No file of the user's is on the stack: it is to be asked again some steps later. */
  | 'again'
  /** It has said so. */
  | 'told'

export interface Watched {
  readonly race: string
  readonly names: readonly string[]
  /** The process is to end, in place of being told about. */
  readonly ends: boolean
}
