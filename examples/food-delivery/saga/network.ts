import { setTimeout as sleep } from 'node:timers/promises'
import type { FaultRates, FaultReport } from '../shared/faults.ts'
import { chance } from '../shared/random.ts'
import type { Pause } from './pause.ts'

export interface NetworkOptions {
  /** Where the service of that name listens just now; undefined while that is not known. */
  readonly addressOf: (service: string) => string | undefined
  readonly faults: FaultRates
  readonly seed: number
  readonly life: number
  readonly report: (fault: FaultReport) => void
  readonly pause: Pause
  /** The orders in whose midst this process stops, whatever the chances say. */
  readonly pauseIn: readonly string[]
}

const AGAIN_MS = 25
/** Longer than a service that was killed is away, by far. */
const ARRIVES_MS = 30_000

/**
 * `fetch` as one service reaches another: by its name (`http://payment/charge`), over a network that holds requests back
 * and brings them twice. And a process may stop right before it tells the customer something, while others believe that it is
 * dead: it has made sure that the saga is its own and cannot know how long ago that was.
 */
export function faultyFetch(options: NetworkOptions): typeof fetch {
  const { addressOf, faults, seed, life, report, pause, pauseIn } = options
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
    const send = async (request = init): Promise<Response> => {
      const base = addressOf(hostname)
      if (base === undefined) throw new Error(`the ${hostname} service is down`)
      return fetch(new URL(pathname, base), request)
    }
    if (happens('delay', faults.delay)) {
      const { signal } = init ?? {}
      await sleep(draw('how long') * faults.delayMaxMs, undefined, signal ? { signal } : {})
    }
    const key = orderTold(hostname, pathname)
    if (key !== undefined) {
      const sure = pauseIn.includes(key) && isReplaced(init)
      const answered = sure || draw('pause') < faults.pause ? await pause({ key, sure }) : undefined
      // It has left, so nobody can call it back, and the network brings it however long that takes.
      if (answered !== undefined) return arrive(() => send({ ...init, signal: null })).finally(answered)
    }
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

/** The customer's own number of the order, where the request tells the customer where it is. */
function orderTold(hostname: string, pathname: string): string | undefined {
  return hostname === 'delivery' ? /([^/.]*)[^/]*$/.exec(pathname)?.[1] : undefined
}

/** True of the word that another one replaces whatever becomes of the order: heard late, it is wrong for certain. */
function isReplaced(request: RequestInit | undefined): boolean {
  return (JSON.parse(String(request?.body)) as { says?: unknown }).says === 'asked'
}

/** Sends until the other side has something to say about it, as a proxy does with a request that it may repeat. */
async function arrive(send: () => Promise<Response>): Promise<Response> {
  const untilMs = performance.now() + ARRIVES_MS
  for (;;) {
    try {
      const response = await send()
      if (response.status < 500) return response
      await response.body?.cancel()
    } catch {
      // It is down, or its answer was lost.
    }
    if (performance.now() > untilMs) throw new Error('nobody answers')
    await sleep(AGAIN_MS)
  }
}
