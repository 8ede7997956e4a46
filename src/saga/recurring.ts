import { Cron } from 'croner'
import { backoffMs } from '../core/backoff.ts'
import type { Log } from '../core/log.ts'
import { type Check, isName, isObject, show } from '../core/options.ts'
import type { Store } from '../store/store.ts'
import type { AnySaga } from './runner-options.ts'

/** A saga that is started again and again. */
export interface Recurring {
  /** Tells it from the others, and is part of the ids of what it starts. */
  readonly name: string
  /** Five or six fields, or `@daily` and the like. */
  readonly cron: string
  /** An IANA name. Default: UTC. */
  readonly timezone?: string
  readonly saga: AnySaga
  /** Given the time of the tick. Default: a saga without input. */
  readonly input?: (tick: Date) => unknown
}

export function recurringChecks(list: readonly Recurring[]): Check[] {
  return [
    new Set(list.map((r) => r?.name)).size === list.length || 'two recurring sagas have the same name',
    ...list.flatMap((one) => {
      const object = isObject('a recurring saga', one)
      if (object !== true) return [object]
      const { name, cron, timezone, saga } = one
      return [
        isName('the name of a recurring saga', name, 100),
        typeof saga?.start === 'function' || `recurring ${show(name)} names no saga`,
        canParse(cron, timezone) ||
          `recurring ${show(name)}: cannot read the cron expression ${show(cron)} or the timezone`,
      ]
    }),
  ]
}

function canParse(cron: string, timezone: string | undefined): boolean {
  try {
    return nextTick(cron, timezone, new Date()) !== null
  } catch {
    return false
  }
}

/** The first tick after `after`; null when there is none. Pure, but for the rules of time zones. */
export function nextTick(cron: string, timezone: string | undefined, after: Date): Date | null {
  return new Cron(cron, { timezone: timezone ?? 'UTC', paused: true }).nextRun(after)
}

const RETRY = { baseMs: 100, capMs: 5_000 }

/**
 * Starts sagas by the clock. Each tick has one id, so however many processes start it, it is started once. Ticks that
 * pass while no process runs are not made up for.
 */
export class Recurrence {
  readonly stopped: Promise<unknown>

  constructor(store: Store, list: readonly Recurring[], log: Log, signal: AbortSignal) {
    this.stopped = Promise.all(list.map((one) => run(store, one, log, signal)))
  }
}

async function run(
  store: Store,
  { name, cron, timezone, saga, input }: Recurring,
  log: Log,
  signal: AbortSignal,
) {
  let after = new Date(store.clock.now())
  while (!signal.aborted) {
    const tick = nextTick(cron, timezone, after)
    if (tick === null) return
    after = tick
    try {
      while (!signal.aborted && store.clock.now() < tick.getTime())
        await store.clock.sleep(Math.min(tick.getTime() - store.clock.now(), 2_147_483_647), signal)
    } catch {
      return // stopped
    }
    for (let failures = 0; !signal.aborted; ) {
      try {
        await saga.start(store, input?.(tick), { id: `${name}@${tick.toISOString()}` })
        break
      } catch (error) {
        failures += 1
        log.warn('a recurring saga could not be started; trying again', { name, tick, error })
        if (failures >= 10) break
        await store.clock.sleep(backoffMs(failures, RETRY, store.clock), signal).catch(() => {})
      }
    }
  }
}
