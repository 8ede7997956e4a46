import { describe, expect, it } from 'vitest'
import { passedBounds } from '../../src/cli/commands/status.ts'
import { ratesBetween } from '../../src/cli/status/measure-rates.ts'
import { printStatus } from '../../src/cli/status/print-status.ts'
import type { Status } from '../../src/cli/status/read-status.ts'

const quiet: Status = {
  outboxes: [],
  queueGroups: [],
  retried: [],
  leases: [],
  deadLetters: [],
  twoPhase: [],
  prepared: { count: 0, oldestAgeMs: 0 },
  sagas: undefined,
}
const busy: Status = {
  outboxes: [{ name: 'default', backlog: 12, oldestAgeMs: 61_000, failing: 1, later: 2 }],
  queueGroups: [{ topic: 'order.placed', group: 'kitchen', backlog: 3, oldestAgeMs: 5_000 }],
  retried: [{ scope: 'inbox/kitchen', messages: 1, attemptsMax: 4 }],
  leases: [1n, 2n, 3n, 4n].map((epoch) => ({
    scope: 'outbox/default',
    name: `${epoch}`,
    owner: 'host-1',
    epoch,
    running: true,
    leftMs: 3_000,
  })),
  deadLetters: [{ source: 'outbox/default', topic: 'order.placed', count: 2, oldestAgeMs: 90_000 }],
  twoPhase: [{ log: 'default', open: 1, oldestAgeMs: 4_000 }],
  prepared: { count: 2, oldestAgeMs: 61_000 },
  sagas: {
    inFlight: 7,
    stuck: 1,
    oldestAgeMs: 90_000,
    unheld: 2,
    overdue: 1,
    stepMs: { p50: 4, p95: 20 },
    stuckSagas: [{ id: 'order-17', name: 'place-order', ageMs: 90_000, reason: 'undo of step "pay": no' }],
  },
}

describe('status', () => {
  it('says what waits, who relays it and what was given up', () => {
    expect(printStatus(busy, { publishedPerSecond: 12.5, relayedPerSecond: 10, overMs: 2_000 })).toBe(`\
outbox   backlog  lag   failing  later
default  12       61 s  1        2

published 12.5/s, relayed 10/s, over 2.0 s

queue topic   group    backlog  lag
order.placed  kitchen  3        5.0 s

retried by     messages  attempts at most
inbox/kitchen  1         4

lease scope     holder  names      epoch   left
outbox/default  host-1  4 of them  1 to 4  3.0 s

dead letters of  topic         count  oldest
outbox/default   order.placed  2      90 s

two-phase log  open decisions  oldest
default        1               4.0 s

prepared transactions: 2, the oldest for 61 s

WARNING: a two-phase transaction was left behind and keeps its locks: is a recovery running, and every participant up? See "holdfast two-phase list"

sagas: 7 in flight, 1 stuck, the oldest is 90 s old, a step takes 4 ms (95 %: 20 ms)

stuck saga   id        age   reason
place-order  order-17  90 s  undo of step "pay": no

WARNING: sagas in partitions that no runner holds: 2; is a runner of their group running?

WARNING: sagas that are due and not taken up: 1; does a runner know their names, and has it room?
`)
  })

  it('says that nothing waits', () => {
    expect(printStatus(quiet, undefined)).toBe(
      'outbox: nothing waits\n\nleases: none\n\ndead letters: none\n',
    )
  })

  it.each([
    [busy, { lagMaxMs: 60_000, deadMax: undefined, stuckMax: 1 }, ['the outbox "default" lags by 61 s']],
    [busy, { lagMaxMs: 61_000, deadMax: 2, stuckMax: undefined }, []],
    [busy, { lagMaxMs: undefined, deadMax: 1, stuckMax: undefined }, ['there are 2 dead letters']],
    [busy, { lagMaxMs: undefined, deadMax: undefined, stuckMax: 0 }, ['1 saga is stuck']],
    [quiet, { lagMaxMs: 0, deadMax: 0, stuckMax: 0 }, []],
  ])('a bound is passed only beyond it', (status, bounds, problems) => {
    expect(passedBounds(status, bounds)).toEqual(problems)
  })

  it('counts what was relayed while more was published', () => {
    const before = { last: 100, waiting: 10, atMs: 1_000 }
    const after = { last: 160, waiting: 30, atMs: 3_000 }
    expect(ratesBetween(before, after)).toEqual({
      publishedPerSecond: 30,
      relayedPerSecond: 20,
      overMs: 2_000,
    })
  })
})
