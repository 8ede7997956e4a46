import { setTimeout as sleep } from 'node:timers/promises'
import type { FaultRates, FaultReport } from '../shared/faults.ts'
import { chance } from '../shared/random.ts'

export interface NetworkOptions {
  /** Where the service of that name listens just now; undefined while that is not known. */
  readonly addressOf: (service: string) => string | undefined
  readonly faults: FaultRates
  readonly seed: number
  readonly life: number
  readonly report: (fault: FaultReport) => void
  /** Stops this process before a request to that path, and fulfils when somebody lets it go on. */
  readonly pause: (path: string) => Promise<void>
}

/**
 * `fetch` as one service reaches another: by its name (`http://payment/charge`), over a network that holds requests back
 * and brings them twice. And a process may stop right before a request leaves it, while others believe that it is dead.
 */
export function faultyFetch({ addressOf, faults, seed, life, report, pause }: NetworkOptions): typeof fetch {
  let requests = 0
  return async (input, init) => {
    const { hostname, pathname } = new URL(String(input))
    const number = requests++
    const draw = (what: string): number => chance(seed, 'network', life, number, what)
    const happens = (kind: 'duplicate' | 'delay', rate: number): boolean => {
      if (draw(kind) >= rate) return false
      report({ kind, detail: `${hostname}${pathname}` })
      return true
    }
    if (happens('delay', faults.delay)) {
      const { signal } = init ?? {}
      await sleep(draw('how long') * faults.delayMaxMs, undefined, signal ? { signal } : {})
    }
    let request = init
    if (hostname === 'delivery' && draw('pause') < faults.pause) {
      await pause(pathname)
      request = { ...init, signal: null } // it has left, so nobody can call it back
    }
    const base = addressOf(hostname)
    if (base === undefined) throw new Error(`the ${hostname} service is down`)
    const send = (): Promise<Response> => fetch(new URL(pathname, base), request)
    const response = await send()
    if (happens('duplicate', faults.duplicate)) {
      setTimeout(() => {
        send().then(
          ({ body }) => body?.cancel(),
          () => {},
        )
      }, draw('how late') * faults.delayMaxMs)
    }
    return response
  }
}
