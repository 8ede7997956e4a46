/** The program of one service process. Its parent tells it by IPC which service it is. */
import { failpoints } from 'holdfast/testing'
import { startHoldfast } from './holdfast/start.ts'
import { openNaiveDatabase } from './naive/database.ts'
import { startNaive } from './naive/start.ts'
import { runAsChild } from './process/program.ts'
import { faultyFetch } from './saga/network.ts'
import { pauser } from './saga/pause.ts'
import { startSaga } from './saga/start.ts'
import type { DatabaseAddress } from './shared/database.ts'
import type { ServiceName } from './shared/domain.ts'
import type { FaultRates, FaultReport } from './shared/faults.ts'
import { faultyTransport } from './shared/faulty-transport.ts'
import { type Request, serve } from './shared/http.ts'
import { openQueue } from './shared/queue.ts'
import { chance } from './shared/random.ts'
import type { Service } from './shared/service.ts'
import type { Version } from './version.ts'

export interface ServiceConfig {
  readonly service: ServiceName
  readonly version: Version
  readonly database: DatabaseAddress
  readonly queue: DatabaseAddress
  readonly seed: number
  /** 1 at the first start, one more after each kill. */
  readonly life: number
  readonly faults: FaultRates
  /** See `ordersToPauseIn`. */
  readonly pauseIn: readonly string[]
  /** The failpoint at which this life ends; see `RunOptions.killAt`. */
  readonly killAt: string | undefined
  /** True where connections are cut on the way to the database, so that the service need not pretend. */
  readonly commitsCutOutside: boolean
}

/** What a service tells its parent. */
export type ServiceMessage =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'in-hand'; readonly count: number | null }
  | { readonly kind: 'fault'; readonly fault: FaultReport }
  /** May it stop itself now? See `Pause`. */
  | { readonly kind: 'may-pause'; readonly key: string; readonly sure: boolean }
  /** It did, was woken, and has done what it was about to do. */
  | { readonly kind: 'paused'; readonly key: string }

/** What the parent asks a service, and what it lets it know. */
export type ServiceOrder =
  | { readonly kind: 'in-hand' }
  | { readonly kind: 'address'; readonly service: ServiceName; readonly url: string }
  | { readonly kind: 'may-pause'; readonly key: string; readonly granted: boolean }

runAsChild<ServiceConfig, ServiceOrder, ServiceMessage>(async (config, parent) => {
  const { service, seed, life, faults } = config
  const report = (fault: FaultReport): void => parent.tell({ kind: 'fault', fault })

  /** A commit whose answer is lost, half of the time before it is done and half of the time after. */
  let commits = 0
  const losesCommit = (share: number): 'before' | 'after' | undefined => {
    const drawn = chance(seed, service, life, 'commit', commits++)
    if (drawn >= share * faults.loseCommit) return undefined
    const when = drawn < (share * faults.loseCommit) / 2 ? 'before' : 'after'
    report({ kind: 'commit', detail: `answer lost ${when} the commit` })
    return when
  }

  /** Requests that can be repeated lose their answers, by their key and by how often they came. */
  const came = new Map<string, number>()
  const losesAnswer = ({ headers }: Pick<Request, 'headers'>): boolean => {
    const key = headers['idempotency-key']
    if (key === undefined) return false
    const attempt = Number(headers.attempt ?? (came.get(String(key)) ?? 0) + 1)
    came.set(String(key), attempt)
    const lost = chance(seed, 'answer', String(key), String(attempt)) < faults.loseHttpAnswer
    if (lost) report({ kind: 'http-answer', detail: String(key) })
    return lost
  }

  const addresses = new Map<string, string>()
  parent.onOrder((order) => {
    if (order.kind === 'address') addresses.set(order.service, order.url)
  })
  const pause = pauser(parent, [config.database, config.queue])

  const queue = await openQueue(config.queue)
  const broker = faultyTransport(queue.broker, faults, seed, report)
  const running = await start()

  async function start(): Promise<Service> {
    const { version, database } = config
    if (version.name === 'naive') {
      return startNaive(service, {
        broker,
        query: await openNaiveDatabase(database, () => losesCommit(1)),
      })
    }
    const given = { database, broker, losesCommit: config.commitsCutOutside ? undefined : losesCommit }
    if (version.name === 'holdfast') return startHoldfast(service, { ...given, without: version.without })
    const fetch = faultyFetch({
      addressOf: (name) => addresses.get(name),
      faults,
      seed,
      life,
      report,
      pause,
      pauseIn: config.pauseIn,
    })
    return startSaga(service, { ...given, without: version.without, fetch })
  }

  if (config.killAt !== undefined) failpoints.arm(config.killAt, 'kill', { skip: 1 })
  const { routes, handlers = {} } = running
  const { port } = await serve(routes, { losesAnswer, handlers })

  /** Infinity when it cannot be found out just now: the question meets the faults too. */
  async function countInHand(): Promise<number> {
    try {
      return (await running.inHand()) + (await queue.unread(service))
    } catch {
      return Number.POSITIVE_INFINITY
    }
  }

  parent.onOrder(async ({ kind }) => {
    if (kind === 'in-hand') parent.tell({ kind, count: await countInHand() })
  })
  parent.tell({ kind: 'ready', port })

  return async () => {
    await running.stop()
    await queue.close()
  }
})
