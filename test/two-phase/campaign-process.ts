/**
 * A coordinator that dies. One after the other, its transactions meet a participant (or the log) that goes down at one
 * place, and stay for good at a later place, if they come so far; then the process kills itself. Says how each ended.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { failpoints } from 'holdfast/testing'
import { behindProxy } from './behind-proxy.ts'
import { type Addresses, coordinatorOf, move, openStores, type Victim } from './stores.ts'

const { at, victim, pairs } = JSON.parse(process.argv[2] as string) as {
  at: Addresses
  victim: Victim
  /** Where the victim goes down, and where the transaction stays. */
  pairs: readonly (readonly [down: string, stay: string])[]
}

/** Past this the victim is back: a coordinator that asks it for a decision would ask for seconds. */
const DOWN_MS = 200

const { proxy, at: through } = await behindProxy(at, victim)
const stores = openStores(through)
const twoPhase = coordinatorOf(stores)
await twoPhase.check()
const current = new AsyncLocalStorage<string>()
const ends: Record<string, string> = {}
for (const [down, stay] of pairs) {
  const id = `${down} ${stay}`
  const stayed = new Promise<string>((resolve) => {
    failpoints.arm(stay, () => {
      if (current.getStore() !== id) return
      resolve('stayed')
      return new Promise(() => {})
    })
  })
  const goDown = failpoints.arm(down, () => {
    if (current.getStore() !== id) return
    goDown.disarm()
    proxy.refuse()
    proxy.cut()
  })
  const moved = current.run(id, () =>
    move(twoPhase, stores, id).then(
      () => 'applied',
      (error: { outcome?: string }) => error.outcome ?? 'not-applied',
    ),
  )
  await Promise.race([stayed, moved, sleep(DOWN_MS)])
  proxy.heal()
  ends[id] = await Promise.race([stayed, moved])
  failpoints.reset()
}
process.stdout.write(`${JSON.stringify({ ends })}\n`, () => process.kill(process.pid, 'SIGKILL'))
