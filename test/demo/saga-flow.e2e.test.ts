/** `holdfast demo --flow saga` as a program. */
import { expect, it } from 'vitest'
import { runFlow } from './start-demo.ts'

interface Run {
  readonly mode: string
  readonly anomalies: Readonly<Record<string, number>>
  readonly findings: readonly { readonly kind: string; readonly text: string }[]
  readonly everythingEnded: boolean
  readonly kills: number
  readonly faults: Readonly<Record<string, number>>
}

const demo = (args: string) => runFlow<Run>('saga', ['--only', 'holdfast', ...args.split(' ')])

it('each order is whole or given back, with its services killed and its own process stopped and woken', async () => {
  const { code, runs, ok, stderr } = await demo('--orders 60')
  expect([code, ok], stderr).toEqual([0, true])
  const [holdfast] = runs as [Run]
  expect(Object.values(holdfast.anomalies)).toEqual([0, 0, 0, 0, 0, 0, 0, 0])
  expect(holdfast.everythingEnded).toBe(true)
  expect(holdfast.kills).toBeGreaterThan(0)
  expect(holdfast.faults.pause).toBeGreaterThan(0)
}, 180_000)

it('without the epoch, what a process says that was stopped and overtaken is heard', async () => {
  const { code, runs } = await demo('--orders 60 --without epoch')
  expect(code).toBe(1)
  const told = runs[0]?.findings.filter(({ text }) => /and the customer is told "asked"$/.test(text))
  expect(told?.length, JSON.stringify(runs[0])).toBeGreaterThan(0)
}, 180_000)

it('charges twice without the barrier, and says so with its exit code', async () => {
  const { code, runs } = await demo('--orders 60 --without barrier --faults heavy')
  expect(code).toBe(1)
  expect(runs[0]?.anomalies.chargedTwice, JSON.stringify(runs[0])).toBeGreaterThan(0)
}, 180_000)
