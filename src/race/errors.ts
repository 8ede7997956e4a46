import { HoldfastError } from '../core/index.ts'
import { messageOf, tame } from '../core/thrown.ts'
import { usersFrames } from '../core/users-frames.ts'

/** A task waits for something that the explorer does not govern, such as a network call. `stack` is where it began. */
export class UncontrolledAwaitError extends HoldfastError {
  static {
    this.prototype.name = 'UncontrolledAwaitError'
  }
  readonly code = 'RACE_UNCONTROLLED_AWAIT'
  readonly outcome = 'unknown'
}

/** A replay met another statement or another set of ready tasks than its schedule says: the code is not deterministic. */
export class ScheduleDivergedError extends HoldfastError {
  static {
    this.prototype.name = 'ScheduleDivergedError'
  }
  readonly code = 'RACE_SCHEDULE_DIVERGED'
  readonly outcome = 'unknown'
  readonly step: number

  constructor(step: number, message: string) {
    super(`the replay diverged at step ${step}: ${message}`)
    this.step = step
  }
}

/** JavaScript of a task, or of `setup`, does not give the event loop back. The `cause` has the stack. */
export class SpinningTaskError extends HoldfastError {
  static {
    this.prototype.name = 'SpinningTaskError'
  }
  readonly code = 'RACE_SPINNING'
  readonly outcome = 'unknown'
}

/** `setup` of a race threw, so no schedule could be run; the `cause` is what it threw. */
export class RaceSetupError extends HoldfastError {
  static {
    this.prototype.name = 'RaceSetupError'
  }
  readonly code = 'RACE_SETUP_FAILED'
  readonly outcome = 'unknown'

  constructor(race: string, cause: unknown) {
    super(`setup of race "${race}" failed: ${messageOf(cause)}`, { cause: tame(cause) })
  }
}

/** A thread or a process of the search cannot load the race from the file that `module` names. */
export class RaceModuleError extends HoldfastError {
  static {
    this.prototype.name = 'RaceModuleError'
  }
  readonly code = 'RACE_MODULE_UNLOADABLE'
  readonly outcome = 'not-applied'
}

/** A worker of the search gets no database of its own, so nothing was run. The message says what is missing. */
export class RaceCloneError extends HoldfastError {
  static {
    this.prototype.name = 'RaceCloneError'
  }
  readonly code = 'RACE_CLONE_FAILED'
  readonly outcome = 'not-applied'
}

/** A process of the search ended before it had answered, so its share of the schedules is missing. */
export class RaceWorkerLostError extends HoldfastError {
  static {
    this.prototype.name = 'RaceWorkerLostError'
  }
  readonly code = 'RACE_WORKER_LOST'
  readonly outcome = 'unknown'
}

/** Frames of an error that says where something began: the driver's and Node's own come first, and fill the usual ten. */
const FRAMES = 50

/** An error for the stack of who calls. */
export function beginning(message: string): Error {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = FRAMES
  try {
    return new Error(message)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** `, at FILE:LINE` of the user's code; empty where the stack has none. */
export function placeOf({ stack = '' }: Error): string {
  const [first] = usersFrames(stack)
  return first === undefined ? '' : `, at ${first.file}:${first.line}`
}
