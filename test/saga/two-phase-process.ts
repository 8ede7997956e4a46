/**
 * A runner of two-phase sagas that ends badly. In `crash` it brings one saga to each of the places given, leaves it there
 * and kills itself; in `stop` it stops itself at one place.
 */
import { failpoints } from 'holdfast/testing'
import type { Addresses } from '../two-phase/stores.ts'
import { startRunner } from './stores.ts'
import { moveSaga, openTwoPhase, running } from './two-phase-saga.ts'

const { at, mode, points } = JSON.parse(process.argv[2] as string) as {
  at: Addresses
  mode: 'crash' | 'stop'
  points: readonly string[]
}
const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)
/** What a stopped process has open is cut after this, as the documentation advises. */
const bounded = (url: string): string =>
  url.startsWith('postgres') ? `${url}?options=-c%20idle_in_transaction_session_timeout%3D2000` : url

const world = openTwoPhase({
  ...at,
  orders: bounded(at.orders),
  payments: bounded(at.payments),
  log: bounded(at.log),
})
await world.twoPhase.check()
const definition = moveSaga(world)
if (mode === 'stop') failpoints.arm(points[0] as string, 'stop', { times: 1 })
const runner = await startRunner(world.orders, [definition], { ttlMs: 1_500 })
if (mode === 'stop') {
  const handle = await definition.start(world.orders, { fails: false }, { id: 'stopped' })
  await handle.result()
  await runner.stop()
  say({ ended: true })
  process.exit(0)
} else {
  for (const point of points) {
    const stuck = new Promise<void>((resolve) => {
      failpoints.arm(point, () => {
        if (running.getStore() !== point) return
        resolve()
        return new Promise(() => {})
      })
    })
    await definition.start(world.orders, { fails: point.length % 2 === 1 }, { id: point })
    await stuck
  }
  process.stdout.write(`${JSON.stringify({ stuck: points })}\n`, () => process.kill(process.pid, 'SIGKILL'))
}
await runner.done
