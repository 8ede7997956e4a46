/** The program of one service process. Its parent tells it by IPC which service it is. */
import { failpoints } from 'holdfast/testing'
import { startHoldfast } from './holdfast/start.ts'
import type { Mechanism } from './holdfast/without.ts'
import { openNaiveDatabase } from './naive/database.ts'
import { startNaive } from './naive/start.ts'
import { runAsChild } from './process/program.ts'
import type { DatabaseAddress } from './shared/database.ts'
import type { ServiceName } from './shared/domain.ts'
import type { FaultRates, FaultReport } from './shared/faults.ts'
import { faultyTransport } from './shared/faulty-transport.ts'
import { type Request, type Routes, serve } from './shared/http.ts'
import { openQueue } from './shared/queue.ts'
import { chance } from './shared/random.ts'

export interface ServiceConfig {
  readonly service: ServiceName
  readonly mode: 'naive' | 'holdfast'
  readonly without: Mechanism | undefined
  readonly database: DatabaseAddress
  readonly queue: DatabaseAddress
  readonly seed: number
  /** 1 at the first start, one more after each kill. */
  readonly life: number
  readonly faults: FaultRates
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

/** What the parent asks a service. */
export interface ServiceOrder {
  readonly kind: 'in-hand'
}

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

  /** Only the customers' own requests lose their answers, by their key and by how often they were sent. */
  const losesAnswer = ({ headers }: Request): boolean => {
    const key = headers['idempotency-key']
    const lost =
      key !== undefined &&
      chance(seed, 'answer', String(key), String(headers.attempt)) < faults.loseHttpAnswer
    if (lost) report({ kind: 'http-answer', detail: String(key) })
    return lost
  }

  let handlers = 0
  const busy = (change: 1 | -1): void => {
    handlers += change
  }

  const queue = await openQueue(config.queue)
  const broker = faultyTransport(queue.broker, faults, seed, report)
  let routes: Routes
  let inHand = async (): Promise<number> => handlers
  let stop = async (): Promise<void> => {}
  if (config.mode === 'naive') {
    const query = await openNaiveDatabase(config.database, () => losesCommit(1))
    routes = await startNaive(service, { query, broker, busy })
  } else {
    const running = await startHoldfast(service, {
      database: config.database,
      broker,
      without: config.without,
      losesCommit: config.commitsCutOutside ? undefined : losesCommit,
    })
    routes = running.routes
    inHand = running.inHand
    stop = running.stop
  }

  if (config.killAt !== undefined) failpoints.arm(config.killAt, 'kill', { skip: 1 })
  const { port } = await serve(routes, { losesAnswer })

  /** Infinity when it cannot be found out just now: the question meets the faults too. */
  async function countInHand(): Promise<number> {
    try {
      return (await inHand()) + (await queue.unread(service))
    } catch {
      return Number.POSITIVE_INFINITY
    }
  }

  parent.onOrder(async () => parent.tell({ kind: 'in-hand', count: await countInHand() }))
  parent.tell({ kind: 'ready', port })

  return async () => {
    await stop()
    await queue.close()
  }
})
