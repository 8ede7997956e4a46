import { describe, expect, it } from 'vitest'
import { nextRelayStep, type RelayState } from '../../src/outbox/relay-step.ts'

const never = Number.POSITIVE_INFINITY

const idle: RelayState = {
  stopping: false,
  inHand: 0,
  inHandMax: 100,
  largeBytes: 0,
  largeBytesMax: 0,
  readable: 0,
  resumeAtMs: 0,
  nextReadAtMs: 0,
  nextPollAtMs: 500,
  nextLaterAtMs: 900,
  nextUnblockAtMs: never,
}

describe('nextRelayStep', () => {
  const cases: [title: string, state: Partial<RelayState>, nowMs: number, step: object][] = [
    ['waits for the poll when there is nothing', {}, 100, { kind: 'wait', untilMs: 500 }],
    ['reads what a commit announced', { readable: 1 }, 100, { kind: 'read' }],
    [
      'waits a moment between reads that find little',
      { readable: 1, nextReadAtMs: 102 },
      100,
      { kind: 'wait', untilMs: 102 },
    ],
    ['polls when it is time', {}, 500, { kind: 'poll' }],
    ['a poll also serves what a commit announced', { readable: 1 }, 500, { kind: 'poll' }],
    ['a full hand reads nothing', { readable: 1, inHand: 101 }, 100, { kind: 'wait', untilMs: 900 }],
    ['a full hand does not poll either', { inHand: 101 }, 600, { kind: 'wait', untilMs: 900 }],
    ['delayed messages come before reads', { readable: 1 }, 900, { kind: 'move-due' }],
    [
      'a blocked key whose time has come comes first',
      { nextUnblockAtMs: 50, readable: 1 },
      60,
      { kind: 'unblock' },
    ],
    ['waits for the next blocked key', { nextUnblockAtMs: 200 }, 100, { kind: 'wait', untilMs: 200 }],
    [
      'waits out trouble, whatever there is to read',
      { readable: 3, resumeAtMs: 300 },
      100,
      { kind: 'wait', untilMs: 300 },
    ],
    ['goes on after trouble', { readable: 3, resumeAtMs: 300 }, 300, { kind: 'read' }],
    ['ends at once when it is stopped', { stopping: true, readable: 3 }, 600, { kind: 'end' }],
    [
      'without partitions it waits to be rung',
      { nextPollAtMs: never, nextLaterAtMs: never },
      100,
      { kind: 'wait', untilMs: never },
    ],
  ]
  it.each(cases)('%s', (_title, state, nowMs, step) => {
    expect(nextRelayStep({ ...idle, ...state }, nowMs)).toEqual(step)
  })
})
