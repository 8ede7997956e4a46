/** `holdfast demo --flow two-phase` as a program, on the tests' own server. */
import { expect, inject, it } from 'vitest'
import { readFlow } from '../../examples/food-delivery/flows.ts'
import { readTwoPhaseOptions } from '../../examples/food-delivery/two-phase/options.ts'
import { runFlow } from './start-demo.ts'

interface Run {
  readonly mode: string
  readonly anomalies: Readonly<Record<string, number>>
  readonly kills: number
  readonly both: number
  readonly placed: number
}

const demo = (...args: string[]) => runFlow<Run>('two-phase', ['--store', inject('postgresUrl'), ...args])

it('two commits one after the other break; two-phase commit does not, with its coordinators killed', async () => {
  const { code, runs, ok, stderr } = await demo('--orders', '160', '--faults', 'heavy')
  expect([code, ok], stderr).toEqual([0, true])
  const [naive, holdfast] = runs as [Run, Run]
  expect(naive.anomalies.halfDone).toBeGreaterThan(0)
  expect(Object.values(holdfast.anomalies)).toEqual([0, 0, 0, 0, 0, 0])
  expect(holdfast.kills).toBeGreaterThan(0)
  expect(holdfast.both).toBeGreaterThanOrEqual(holdfast.placed)
}, 120_000)

it('without the decision, recovery has to guess, and orders are half done', async () => {
  const { code, runs } = await demo(...'--orders 60 --only holdfast --without decision'.split(' '))
  expect(code).toBe(1)
  expect(runs[0]?.anomalies.halfDone).toBeGreaterThan(0)
}, 120_000)

it('reads its own options, and refuses what is none', async () => {
  expect(await readFlow(['--orders', '1'])).toBeUndefined()
  expect(await readFlow(['--json', '--flow', 'two-phase', '--orders', '7'])).toMatchObject({
    argv: ['--json', '--orders', '7'],
  })
  expect(await readFlow(['--flow=two-phase'])).toMatchObject({ argv: [] })
  await expect(readFlow(['--flow', 'by-post'])).rejects.toThrow(
    /--flow must be one of .*two-phase.*, got "by-post"/,
  )
  expect(readTwoPhaseOptions([])).toMatchObject({ orders: 1000, faults: 'default', without: undefined })
  expect(() => readTwoPhaseOptions(['--without', 'luck'])).toThrow(/--without must be one of decision/)
  expect(() => readTwoPhaseOptions(['--without', 'decision', '--only', 'naive'])).toThrow(
    /leave out --only naive/,
  )
  expect(() => readTwoPhaseOptions(['--store', 'mysql://root:secret@db'])).toThrow(
    /^(?!.*secret)--store must be/,
  )
})
