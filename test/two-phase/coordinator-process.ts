/**
 * A coordinator as a process of its own. In `crash` it brings one transaction to each of the places given, leaves it
 * there, and kills itself; in `stop` it stops itself at one place, and says how it ended when it goes on.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { failpoints } from 'holdfast/testing'
import { type Addresses, coordinatorOf, move, openStores } from './stores.ts'

const { at, mode, points } = JSON.parse(process.argv[2] as string) as {
  at: Addresses
  mode: 'record' | 'crash' | 'stop'
  points: readonly string[]
}
const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)
const stores = openStores(at)
const twoPhase = coordinatorOf(stores)

if (mode === 'record') {
  await twoPhase.check()
  failpoints.record()
  await move(twoPhase, stores, 'clean')
  say({ hits: [...failpoints.hits().keys()] })
  await twoPhase.close()
  await stores.close()
} else if (mode === 'crash') {
  await twoPhase.check()
  const at = new AsyncLocalStorage<string>()
  for (const point of points) {
    // Another transaction that is under way may pass the place; only the one that is meant for it is to stay there.
    await new Promise<void>((stuck) => {
      failpoints.arm(point, () => {
        if (at.getStore() !== point) return
        stuck()
        return new Promise(() => {})
      })
      at.run(point, () => void move(twoPhase, stores, point).catch(() => {}))
    })
  }
  process.stdout.write(`${JSON.stringify({ stuck: points })}\n`, () => process.kill(process.pid, 'SIGKILL'))
} else {
  failpoints.arm(points[0] as string, 'stop', { times: 1 })
  try {
    await move(twoPhase, stores, 'stopped')
    say({ ended: 'committed' })
  } catch (error) {
    say({ ended: (error as { code?: string }).code })
  }
  await twoPhase.close()
  await stores.close()
}
