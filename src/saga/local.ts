import type { Store } from '../store/store.ts'
import type { NewSaga, SagaState } from './entry.ts'
import type { Guard } from './journal-statements.ts'

export interface Ended {
  readonly state: SagaState
  readonly output: string | null
  readonly reason: string | null
}

/** What a runner offers to the rest of its process, so that a saga started here runs at once. */
export interface LocalRunner {
  /** A partition held here, when this runner knows the saga and has room for one more. */
  room(name: string): Guard | undefined
  /** Inserts the saga, already in hand, with the next commit of the journal, and runs it then. */
  startHeld(saga: NewSaga, guard: Guard): Promise<{ readonly started: boolean }>
  /** A saga that was committed by another transaction, in a partition that may be held here. */
  offer(saga: NewSaga): void
  /** Something has changed for this saga: look at once instead of at the next poll. */
  poke(id: string): void
  /** The end of a saga that is in memory here. */
  ended(id: string): Promise<Ended> | undefined
}

const runners = new WeakMap<Store, Set<LocalRunner>>()

/** Gives the function that takes the runner off the list again. */
export function addRunner(store: Store, runner: LocalRunner): () => void {
  const list = runners.get(store) ?? new Set()
  runners.set(store, list)
  list.add(runner)
  return () => void list.delete(runner)
}

export function runnersOf(store: Store): Iterable<LocalRunner> {
  return runners.get(store) ?? []
}
