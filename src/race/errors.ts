import { fileURLToPath } from 'node:url'
import { HoldfastError } from '../core/index.ts'

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

/** `setup` of a race threw, so no schedule could be run; the `cause` is what it threw. */
export class RaceSetupError extends HoldfastError {
  static {
    this.prototype.name = 'RaceSetupError'
  }
  readonly code = 'RACE_SETUP_FAILED'
  readonly outcome = 'unknown'

  constructor(race: string, cause: unknown) {
    super(`setup of race "${race}" failed: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
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

const OURS = fileURLToPath(new URL('.', import.meta.url))

/** `, at FILE:LINE` of the user's code; empty where the stack has none. */
export function placeOf({ stack = '' }: Error): string {
  for (const line of stack.split('\n').slice(1)) {
    const [, at = '', number] =
      /(?:\(|at )((?:file:\/\/|\/|[A-Za-z]:[\\/]).*?):(\d+):\d+\)?$/.exec(line) ?? []
    const file = at.startsWith('file:') ? fileURLToPath(at) : at
    if (file === '' || file.startsWith(OURS) || /[\\/]node_modules[\\/]/.test(file)) continue
    return `, at ${file}:${number}`
  }
  return ''
}
