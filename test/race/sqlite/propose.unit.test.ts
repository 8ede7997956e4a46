import { expect, it } from 'vitest'
import { proposeSqlite } from '../../../src/race/sqlite/propose-sqlite.ts'
import type { Step } from '../../../src/race/task.ts'

function steps(...lines: readonly (readonly [task: string, text: string])[]): Step[] {
  return lines.map(([task, text], at) => ({ number: at + 1, task, kind: 'statement', text, values: [] }))
}

function proposed(all: Step[], more: object = {}): Record<string, string | undefined> {
  const finding = { anomaly: 'lost update', responsible: [], deadlock: undefined, ...more } as const
  return Object.fromEntries(
    proposeSqlite({ ...finding, steps: all }, ['a', 'b']).map((one) => [
      one.remedy,
      'reason' in one ? `no: ${one.reason}` : one.trials[0]?.how,
    ]),
  )
}

it('a task without a transaction gets one, IMMEDIATE or run again', () => {
  const given = proposed(
    steps(
      ['a', 'select x from t'],
      ['b', 'begin'],
      ['b', 'update t set x = 1'],
      ['b', 'commit'],
      ['a', 'update t set x = 2'],
    ),
  )
  expect(given['immediate transaction']).toBe('every transaction IMMEDIATE; a in one transaction')
  expect(given.serializable).toBe('a in one transaction; a, b run again on SQLITE_BUSY')
})

it('two transactions of one task are not made one', () => {
  const two = ['begin', 'select x from t', 'commit', 'begin', 'update t set x = 1', 'commit']
  const given = proposed(steps(...two.map((text) => ['a', text] as const)))
  expect(given['immediate transaction']).toMatch(/^no: a has several transactions/)
  expect(given.serializable).toBe('no: every transaction of SQLite is')
})

it('a deadlock over two files is a matter of order, or of another try', () => {
  const given = proposed(
    steps(['a', 'begin immediate'], ['b', 'begin immediate'], ['a', 'begin immediate']),
    {
      anomaly: 'deadlock',
      deadlock: [{ task: 'a', waitsFor: ['b'], statement: 'begin immediate' }],
    },
  )
  expect(given['immediate transaction']).toMatch(/^no: .*order/)
  expect(given['ordered locking']).toMatch(/files in the same order/)
  expect(given.retry).toBe('a, b run again on SQLITE_BUSY')
})
