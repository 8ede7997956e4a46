import {
  type Clock,
  ConfigError,
  checkArguments,
  checkOptions,
  HoldfastError,
  isDurationOrZero,
  isName,
  optionsOf,
  show,
  systemClock,
} from '../core/index.ts'
import { assertStamp, LOGICAL_MAX, type Stamp, WALL_MS_MAX } from './stamp.ts'
import type { ReplicaId } from './version-vector.ts'

export interface HybridClockOptions {
  readonly replica: ReplicaId
  /** How far ahead of this machine's clock a stamp from elsewhere may be. Default 60,000. */
  readonly driftMaxMs?: number
  /** The latest stamp that this replica stored, so that its clock does not go back over a restart. */
  readonly last?: Stamp
  readonly clock?: Clock
}

/** Gives stamps that only grow, whatever the machine's clock does. */
export interface HybridClock {
  /** The stamp of an event here: above every stamp given or seen before. @throws ConfigError in the year 10889 */
  tick(): Stamp
  /**
   * Takes note of a stamp from elsewhere, so that what happens here afterwards comes after it.
   * @throws ClockDriftError when it is more than `driftMaxMs` ahead, PayloadError when it is no stamp; the clock is then as before
   */
  observe(remote: Stamp): void
  /** The latest stamp given or seen. Store it with what it stamped. */
  readonly last: Stamp
}

/** A stamp from elsewhere is too far ahead: following it would drag this clock, and every replica's, into the future. */
export class ClockDriftError extends HoldfastError {
  static {
    this.prototype.name = 'ClockDriftError'
  }
  readonly code = 'CLOCK_DRIFT'
  readonly outcome = 'not-applied'
  readonly remote: Stamp
  readonly aheadMs: number

  constructor(remote: Stamp, aheadMs: number, driftMaxMs: number) {
    super(
      `the stamp of ${JSON.stringify(remote.replica)} is ${aheadMs} ms ahead of this clock, ${driftMaxMs} are allowed: ` +
        'compare the clocks of both machines',
    )
    this.remote = remote
    this.aheadMs = aheadMs
  }
}

/** A hybrid logical clock. @throws ConfigError; PayloadError when `last` is no stamp */
export function hybridClock(options: HybridClockOptions): HybridClock {
  const { replica, driftMaxMs = 60_000, clock = systemClock } = optionsOf('hybridClock', options)
  checkOptions(
    'hybridClock',
    options,
    ['replica', 'driftMaxMs', 'last', 'clock'],
    [isName('replica', replica), isDurationOrZero('driftMaxMs', driftMaxMs)],
  )
  if (options.last !== undefined) assertStamp(options.last)
  let last: Stamp = options.last ? { ...options.last, replica } : { wallMs: 0, logical: 0, replica }
  return {
    tick() {
      last = nextStamp(last, clock.now())
      return last
    },
    observe(remote) {
      assertStamp(remote)
      const aheadMs = remote.wallMs - clock.now()
      if (aheadMs > driftMaxMs) throw new ClockDriftError(remote, aheadMs, driftMaxMs)
      if (isLater(remote, last)) last = { wallMs: remote.wallMs, logical: remote.logical, replica }
    },
    get last() {
      return last
    },
  }
}

/** The next stamp of the same replica when the wall clock says `nowMs`. Pure. @throws ConfigError after 2^48 - 1 ms */
export function nextStamp(last: Stamp, nowMs: number): Stamp {
  assertStamp(last)
  checkArguments('nextStamp', Number.isFinite(nowMs) || `nowMs must be a number, got ${show(nowMs)}`)
  const { replica } = last
  const wallMs = Math.floor(nowMs)
  if (wallMs > last.wallMs) return checked({ wallMs, logical: 0, replica })
  if (last.logical < LOGICAL_MAX) return { wallMs: last.wallMs, logical: last.logical + 1, replica }
  // more than 65,536 events in a millisecond: borrow from the next one
  return checked({ wallMs: last.wallMs + 1, logical: 0, replica })
}

function isLater(a: Stamp, b: Stamp): boolean {
  return a.wallMs > b.wallMs || (a.wallMs === b.wallMs && a.logical > b.logical)
}

function checked(stamp: Stamp): Stamp {
  if (!(stamp.wallMs <= WALL_MS_MAX)) throw new ConfigError('hybridClock', ['the clock is past 2^48 - 1 ms'])
  return stamp
}
