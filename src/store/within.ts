import { systemClock } from '../core/clock.ts'
import { within as withinOn } from '../core/timer.ts'
import { StoreUnavailableError } from './errors.ts'

/** The server gave no answer in time; what it does meanwhile is unknown. */
export class Late extends StoreUnavailableError {}

/** Rejects with `Late` when `promise` has not settled after `ms`. The promise itself goes on. */
export function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  return withinOn(systemClock, ms, promise, () => new Late('the server gave no answer in time', 'unknown'))
}
