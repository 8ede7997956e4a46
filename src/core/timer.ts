import { type Clock, systemClock } from './clock.ts'
import { armWhenOlder, forget } from './young-timers.ts'

/** Something that happens once, unless it is cancelled first. */
export interface Alarm {
  cancel(): void
}

/**
 * Calls `act` after `ms`, unless cancelled first. On the system clock, one of a second or more is given its timer when it has
 * lived for a while, and may be that much late: every lock and every answer that is waited for has one, and most are over before.
 * It does not keep the process alive when `idle` is set.
 */
export function after(clock: Clock, ms: number, act: () => void, { idle = false } = {}): Alarm {
  if (clock === systemClock) return new TimerAlarm(ms, act, idle)
  const over = new AbortController()
  clock.sleep(ms, over.signal).then(act, () => {})
  return { cancel: () => over.abort() }
}

class TimerAlarm implements Alarm {
  readonly #ms: number
  readonly #act: () => void
  readonly #idle: boolean
  #timer: NodeJS.Timeout | undefined
  #over = false

  constructor(ms: number, act: () => void, idle: boolean) {
    this.#ms = ms
    this.#act = act
    this.#idle = idle
    if (idle || !armWhenOlder(this, ms)) this.arm()
  }

  arm(): void {
    if (this.#over) return
    this.#timer = setTimeout(this.#act, this.#ms)
    if (this.#idle) this.#timer.unref()
  }

  cancel(): void {
    this.#over = true
    if (this.#timer === undefined) forget(this)
    else clearTimeout(this.#timer)
  }
}

/** Rejects with `late()` when `promise` has not settled after `ms`. The promise itself goes on. */
export function within<T>(
  clock: Clock,
  ms: number,
  promise: Promise<T>,
  late: () => unknown = () => new Error(`no answer within ${ms} ms`),
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const alarm = after(clock, ms, () => reject(late()))
    promise.then(
      (value) => {
        alarm.cancel()
        resolve(value)
      },
      (error) => {
        alarm.cancel()
        reject(error)
      },
    )
  })
}
