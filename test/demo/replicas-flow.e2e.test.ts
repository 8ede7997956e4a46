/** `holdfast demo --flow replicas` as a program: three sites, killed and cut off. */
import { expect, it } from 'vitest'
import { audit, type SiteDump } from '../../examples/food-delivery/replicas/audit.ts'
import type { Entry, Reading, SiteName } from '../../examples/food-delivery/replicas/operations.ts'
import { readReplicasOptions } from '../../examples/food-delivery/replicas/options.ts'
import { runFlow } from './start-demo.ts'

interface Run {
  readonly mode: string
  readonly anomalies: Readonly<Record<string, number>>
  readonly kills: number
  readonly cuts: number
  readonly answered: number
  readonly failed: number
  readonly unanswered: number
  readonly answeredWhileApart: number
  readonly settledMs: number | null
}

const demo = (...args: string[]) => runFlow<Run>('replicas', args)

it('newer rows that win lose writes; replicas lose none, and go on while sites are away', async () => {
  const { code, runs, stderr } = await demo('--orders', '300', '--faults', 'heavy')
  expect(code, stderr).toBe(0)
  const [naive, holdfast] = runs as [Run, Run]
  expect(naive.anomalies.lost).toBeGreaterThan(0)
  expect(Object.values(holdfast.anomalies)).toEqual([0, 0, 0, 0, 0, 0])
  expect(holdfast.answeredWhileApart).toBeGreaterThan(0)
  for (const run of runs) expect(run.answered + run.failed + run.unanswered).toBe(300)
  expect(holdfast.cuts + holdfast.kills).toBeGreaterThan(0)
  expect(holdfast.settledMs).not.toBeNull()
}, 150_000)

it('without the vector, what was replaced comes back', async () => {
  const { code, runs } = await demo(
    ...'--orders 60 --faults heavy --only holdfast --without vector'.split(' '),
  )
  expect(code).toBe(1)
  expect(runs[0]?.anomalies.cameBack).toBeGreaterThan(0)
}, 150_000)

it('reads its options, and refuses what is none', () => {
  expect(readReplicasOptions([])).toMatchObject({ orders: 1500, faults: 'default', without: undefined })
  expect(() => readReplicasOptions(['--without', 'luck'])).toThrow(
    /--without must be one of vector, siblings, pulls/,
  )
})

const entry = (id: string, site: SiteName, more: Partial<Entry> = {}): Entry => ({
  id,
  site,
  collection: 'cart',
  key: 'cart-0',
  kind: 'write',
  wrote: id,
  saw: [],
  ...more,
})
const dumpOf = (
  site: SiteName,
  versions: readonly string[],
  entries: readonly Entry[],
  more: Partial<SiteDump & Reading> = {},
): SiteDump => {
  const { collection = 'cart', key = 'cart-0', total = 0, inConflicts = [] } = more
  return { site, entries, inConflicts, readings: [{ collection, key, versions, total }] }
}
const likes = { collection: 'likes', key: 'likes-0', kind: 'count' } as const

it.each([
  ['nothing', [dumpOf('berlin', ['a'], [entry('a', 'berlin')]), dumpOf('oslo', ['a'], [])], []],
  ['diverged', [dumpOf('berlin', ['a'], [entry('a', 'berlin')]), dumpOf('oslo', [], [])], []],
  ['lost', [dumpOf('berlin', ['b'], [entry('a', 'berlin'), entry('b', 'berlin')])], []],
  ['nothing', [dumpOf('berlin', ['b'], [entry('a', 'berlin'), entry('b', 'berlin', { saw: ['a'] })])], []],
  [
    'nothing',
    [dumpOf('berlin', ['b'], [entry('a', 'berlin'), entry('b', 'berlin')], { inConflicts: ['a'] })],
    [],
  ],
  [
    'confirmedAndLost',
    [dumpOf('berlin', [], [entry('a', 'berlin')])],
    [{ id: 'a', site: 'berlin', confirmed: true }],
  ],
  [
    'cameBack',
    [dumpOf('berlin', ['a', 'b'], [entry('a', 'berlin'), entry('b', 'berlin', { saw: ['a'] })])],
    [],
  ],
  ['miscounted', [dumpOf('berlin', [], [entry('a', 'berlin', likes)], { ...likes, total: 2 })], []],
  ['forgotten', [dumpOf('berlin', [], [])], [{ id: 'a', site: 'berlin', confirmed: false }]],
] as const)('the audit finds: %s', (kind, dumps, answers) => {
  const { anomalies } = audit(dumps, answers)
  const found = Object.entries(anomalies).flatMap(([name, count]) => (count > 0 ? [name] : []))
  if (kind === 'nothing') expect(found).toEqual([])
  else expect(found).toContain(kind)
})
