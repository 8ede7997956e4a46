/** `holdfast demo --flow saga` as a program. */
import { expect, it } from 'vitest'
import { runFlow } from './start-demo.ts'

interface Run {
  readonly mode: string
  readonly anomalies: Readonly<Record<string, number>>
  readonly everythingEnded: boolean
  readonly kills: number
}

const demo = (args: string) => runFlow<Run>('saga', args.split(' '))

it('each order is whole or given back, with its services killed and its own process stopped and woken', async () => {
  const { code, runs, ok, stderr } = await demo('--orders 60 --only holdfast')
  expect([code, ok], stderr).toEqual([0, true])
  const [holdfast] = runs as [Run]
  expect(Object.values(holdfast.anomalies)).toEqual([0, 0, 0, 0, 0, 0, 0, 0])
  expect(holdfast.everythingEnded).toBe(true)
  expect(holdfast.kills).toBeGreaterThan(0)
}, 180_000)

it('charges twice without the barrier, and says so with its exit code', async () => {
  const { code, runs } = await demo('--orders 120 --only holdfast --without barrier --faults heavy')
  expect(code).toBe(1)
  expect(runs[0]?.anomalies.chargedTwice, JSON.stringify(runs[0])).toBeGreaterThan(0)
}, 180_000)
