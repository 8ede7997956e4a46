import { setTimeout as sleep } from 'node:timers/promises'
import type { Parent } from '../process/program.ts'
import type { ServiceMessage, ServiceOrder } from '../service.ts'
import { type DatabaseAddress, loadSqlite } from '../shared/database.ts'
import { chance } from '../shared/random.ts'

const ORDERS_FOR_ONE = 250

/**
 * The orders in whose midst a process stops, whatever the chances say: by their keys, among those that come early. So that
 * each run has what an epoch is for, however short it is.
 */
export function ordersToPauseIn(keys: readonly string[], seed: number): string[] {
  const early = Math.ceil(keys.length / 2)
  const picked = Array.from({ length: Math.ceil(keys.length / ORDERS_FOR_ONE) }, (_, i) => {
    return keys[Math.floor(early * chance(seed, 'pause in', i))]
  })
  return [...new Set(picked)].filter((key) => key !== undefined)
}

/**
 * Stops this process, and fulfils when somebody has woken it: with the function that says that it has done what it was
 * about to do. Undefined where it did not stop.
 */
export type Pause = (about: {
  /** The customer's own number of the order in whose midst it is. */
  readonly key: string
  /** True waits until it may stop; false goes on where it may not. */
  readonly sure: boolean
}) => Promise<(() => void) | undefined>

/** How a service process stops: when its parent, which wakes it again, has nothing against that. */
export function pauser(
  parent: Parent<ServiceOrder, ServiceMessage>,
  databases: readonly DatabaseAddress[],
): Pause {
  const asked = new Map<string, (granted: boolean) => void>()
  parent.onOrder((order) => {
    if (order.kind !== 'may-pause') return
    asked.get(order.key)?.(order.granted)
    asked.delete(order.key)
  })
  return async ({ key, sure }) => {
    const granted = await new Promise<boolean>((resolve) => {
      asked.set(key, resolve)
      parent.tell({ kind: 'may-pause', key, sure })
    })
    if (!granted) return undefined
    await stopBetweenTransactions(databases)
    return () => parent.tell({ kind: 'paused', key })
  }
}

/**
 * Stops this process by SIGSTOP, at a moment when it has no transaction open on a SQLite file: a writer that is stopped
 * there holds the file, and nobody can take over from it. Fulfils when somebody lets the process go on.
 */
async function stopBetweenTransactions(addresses: readonly DatabaseAddress[]): Promise<void> {
  const open = await loadSqlite()
  const files = addresses.flatMap((address) => (address.kind === 'sqlite' ? open(address.path) : []))
  try {
    for (const file of files) file.exec('pragma busy_timeout = 0')
    for (;;) {
      try {
        // From the other side: whoever gets a turn beside this process knows that it has none.
        for (const file of files) file.exec('begin immediate; rollback')
        break
      } catch {
        await sleep(1)
      }
    }
    process.kill(process.pid, 'SIGSTOP')
  } finally {
    for (const file of files) file.close()
  }
}
