import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Anomalies, type AuditResult, audit } from '../audit/audit.ts'
import { ordersToPauseIn } from '../saga/pause.ts'
import type { DatabaseAddress } from '../shared/database.ts'
import { SERVICES, type ServiceName } from '../shared/domain.ts'
import type { FaultRates } from '../shared/faults.ts'
import { chance } from '../shared/random.ts'
import type { Version } from '../version.ts'
import { type CustomersRecord, runCustomers, runManager } from './customers.ts'
import { type CuttingProxy, startCuttingProxy } from './cutting-proxy.ts'
import { Ends } from './ends.ts'
import type { History } from './history.ts'
import { Processes } from './processes.ts'
import { createStorage, type Storage, type StorageOptions } from './storage.ts'
import { Timeline, type TimelineEvent } from './timeline.ts'
import type { Workload } from './workload.ts'

export interface RunOptions {
  /** What the run is called in progress lines, in the history and in `--keep`. */
  readonly name: string
  readonly version: Version
  readonly workload: Workload
  readonly seed: number
  readonly faults: FaultRates
  /** Each service's first life ends at the first of these failpoints, its second life at the second, and so on. */
  readonly killAt: readonly string[]
  readonly storage: StorageOptions
  readonly history: History
  readonly onProgress: (progress: Progress) => void
  readonly signal: AbortSignal
}

export interface Progress {
  readonly phase: 'starting' | 'running' | 'draining' | 'auditing'
  readonly ended: number
  readonly orders: number
  readonly kills: number
  readonly faults: number
}

export interface RunResult extends Omit<AuditResult, 'endedAtMs'> {
  readonly name: string
  readonly mode: 'naive' | 'holdfast'
  /** The mechanism that it went without, if any. */
  readonly without: string | undefined
  readonly orders: number
  readonly anomalies: Anomalies
  /** True when every key of the workload has an order, and every order has an end. */
  readonly everythingEnded: boolean
  readonly ordersPerSecond: number
  /** From the customer's first request to the order's end; null when none has ended. */
  readonly p50Ms: number | null
  readonly p99Ms: number | null
  readonly kills: number
  readonly retries: number
  readonly faults: Readonly<Record<string, number>>
  readonly durationMs: number
  readonly timeline: readonly TimelineEvent[]
  /** When orders ended, in milliseconds since the first request. */
  readonly endsMs: readonly number[]
}

/** With sagas there are two processes of the order service, so that one takes over what the other has in hand. */
const PROCESSES: Readonly<Record<Version['name'], readonly ServiceName[]>> = {
  naive: SERVICES,
  holdfast: SERVICES,
  saga: ['order', ...SERVICES],
}

/** Orders under way at the same time. */
const CONCURRENCY = 48
/** How long a customer waits for the end of an order before the next one comes. */
const PATIENCE_MS = 2_000
/** Customers try again for ever, so a run in which no order has ended for this long is given up. */
const STANDSTILL_MS = 120_000
/** The drain gives up when for this long no order has ended, and says what is stuck. */
const DRAIN_MS = 30_000
/** However slow the machine is. */
const DRAIN_MAX_MS = 180_000

/** Runs the whole system once: starts it, lets customers order under faults, waits until it is at rest, audits it. */
export async function run(options: RunOptions): Promise<RunResult> {
  const { name, workload, signal } = options
  const storage = await createStorage(name, workload, options.storage)
  try {
    const lived = await live(options, storage)
    options.onProgress(lived.progress('auditing'))
    const audited = await audit(placesOf(storage), { answered: lived.customers.answered })
    for (const [key, atMs] of audited.endedAtMs) {
      options.history.add(name, { process: 'audit', type: 'invoke', f: 'end-order', value: { key } })
      options.history.add(name, { process: 'audit', type: 'ok', f: 'end-order', value: { key, atMs } })
    }
    signal.throwIfAborted()
    return summarize(options, lived, audited)
  } finally {
    await storage.remove()
  }
}

interface Lived {
  readonly customers: CustomersRecord
  readonly timeline: Timeline
  readonly durationMs: number
  progress(phase: Progress['phase']): Progress
}

async function live(options: RunOptions, storage: Storage): Promise<Lived> {
  const { name, version, workload, seed, faults, killAt, history, onProgress, signal } = options
  const timeline = new Timeline()
  const proxy = await startProxy(options, timeline)
  const through = (address: DatabaseAddress): DatabaseAddress =>
    address.kind === 'postgres' && proxy ? { kind: 'postgres', url: proxy.url(address.url) } : address
  const pauseIn = faults.pause === 0 ? [] : ordersToPauseIn(keysOf(workload), seed)
  const ends = new Ends(storage.addresses.order, PATIENCE_MS)
  const processes = new Processes(
    PROCESSES[version.name],
    (service, life) => ({
      service,
      version,
      database: through(storage.addresses[service]),
      queue: storage.addresses.queue,
      seed,
      life,
      faults,
      pauseIn,
      killAt: killAt[life - 1],
      commitsCutOutside: proxy !== undefined,
    }),
    timeline,
    ends,
  )
  const over = new AbortController()
  const customersSignal = AbortSignal.any([over.signal, signal])
  setMaxListeners(0, customersSignal) // one listener per request under way
  const placing = new AbortController()
  const stopPlacing = AbortSignal.any([placing.signal, signal])
  const progress = (phase: Progress['phase']): Progress => ({
    phase,
    ended: ends.count,
    orders: workload.orders.length,
    kills: timeline.count('kill'),
    faults: [...timeline.counts].reduce((sum, [kind, n]) => (kind === 'up' ? sum : sum + n), 0),
  })
  const interrupted = aborted(signal, over.signal)
  interrupted.catch(() => {})
  let phase: Progress['phase'] = 'starting'
  const ticker = setInterval(() => onProgress(progress(phase)), 100)
  const record = (operation: Parameters<History['add']>[1]): void => history.add(name, operation)
  try {
    onProgress(progress(phase))
    await Promise.race([processes.start(), interrupted])
    await ends.start()
    phase = 'running'
    timeline.start()
    const aside = Promise.all([
      runManager({ workload, processes, ended: () => ends.count, record, signal: stopPlacing }),
      killAtRandom(processes, options, stopPlacing),
    ])
    const customers = await Promise.race([
      runCustomers({
        workload,
        processes,
        concurrency: CONCURRENCY,
        waitForEnd: (key) => ends.wait(key),
        record,
        signal: customersSignal,
      }),
      processes.failed,
      interrupted,
      standstill(ends, customersSignal),
    ])
    placing.abort()
    await aside
    phase = 'draining'
    await Promise.race([drain(processes, ends, options), processes.failed, interrupted])
    return { customers, timeline, durationMs: timeline.nowMs(), progress }
  } finally {
    placing.abort()
    over.abort()
    clearInterval(ticker)
    await ends.stop()
    // Throws what made a service end by itself; a proxy that went on listening would keep this process alive.
    await processes.stop().finally(() => proxy?.close())
  }
}

/** With PostgreSQL and Holdfast, commits lose their answers on the wire. Elsewhere that is done inside the services. */
async function startProxy(
  { version, seed, faults, storage }: RunOptions,
  timeline: Timeline,
): Promise<CuttingProxy | undefined> {
  if (storage.postgresUrl === undefined || version.name === 'naive' || faults.loseCommit === 0)
    return undefined
  let commits = 0
  return startCuttingProxy(storage.postgresUrl, () => {
    const drawn = chance(seed, 'wire', commits++)
    if (drawn >= faults.loseCommit * WIRE_SHARE) return undefined
    const when = drawn < (faults.loseCommit * WIRE_SHARE) / 2 ? 'before' : 'after'
    timeline.add('commit', 'wire', `connection cut ${when} the commit`)
    return when
  })
}

/** Reads and the small commits of relay and consumers go over the same wire, so fewer of them are cut. */
const WIRE_SHARE = 0.3

/** SIGKILL to a service about every `killEveryMs`: which one and when follows from the seed. */
async function killAtRandom(
  processes: Processes,
  { seed, faults: { killEveryMs } }: RunOptions,
  signal: AbortSignal,
): Promise<void> {
  for (let kill = 0; killEveryMs > 0; kill++) {
    const share = kill === 0 ? 0.4 : 0.7 + 0.6 * chance(seed, 'kill', 'when', kill)
    await sleep(killEveryMs * share, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    processes.kill(Math.floor(processes.count * chance(seed, 'kill', 'whom', kill)))
  }
}

/** Rejects when no order has ended for long. */
async function standstill(ends: Ends, signal: AbortSignal): Promise<never> {
  const startMs = performance.now()
  for (;;) {
    // Never fulfils once the customers are done.
    await sleep(1_000, undefined, { signal }).catch(() => new Promise<never>(() => {}))
    if (performance.now() - Math.max(startMs, ends.lastEndMs) > STANDSTILL_MS)
      throw new Error(
        `no order has ended for ${STANDSTILL_MS / 1_000} s (${ends.count} did before): given up`,
      )
  }
}

/** At rest: for a while nobody has anything in hand, and that while is longer than a message can be held back. */
async function drain(processes: Processes, ends: Ends, { faults, signal }: RunOptions): Promise<void> {
  const startMs = performance.now()
  const quietMs = faults.delayMaxMs + 350
  let quietSinceMs: number | undefined
  const deadlineMs = (): number =>
    Math.min(Math.max(startMs, ends.lastEndMs) + DRAIN_MS, startMs + DRAIN_MAX_MS)
  while (!signal.aborted && performance.now() < deadlineMs()) {
    const inHand = await processes.inHand()
    const nowMs = performance.now()
    if (inHand > 0 || nowMs - ends.lastEndMs < quietMs) quietSinceMs = undefined
    else quietSinceMs ??= nowMs
    if (quietSinceMs !== undefined && nowMs - quietSinceMs >= quietMs) return
    await sleep(40)
  }
}

/** Rejects when `signal` fires, listening until `over` does. */
function aborted(signal: AbortSignal, over: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true, signal: over })
  })
}

function keysOf({ orders }: Workload): string[] {
  return orders.map(({ key }) => key)
}

function placesOf({ addresses }: Storage): Parameters<typeof audit>[0] {
  const { order, payment, restaurant, delivery } = addresses
  return { order, payment, restaurant, delivery }
}

function summarize(options: RunOptions, lived: Lived, audited: AuditResult): RunResult {
  const { name, version, workload } = options
  const { customers, timeline } = lived
  const { endedAtMs, ...rest } = audited
  const firstMs = Math.min(...customers.placedAtMs.values())
  const endsMs = [...endedAtMs.values()].map((atMs) => atMs - firstMs).sort((a, b) => a - b)
  const latencies = [...endedAtMs]
    .flatMap(([key, atMs]) => {
      const placedMs = customers.placedAtMs.get(key)
      return placedMs === undefined ? [] : [atMs - placedMs]
    })
    .sort((a, b) => a - b)
  const spanMs = endsMs.at(-1) ?? 0
  return {
    ...rest,
    name,
    mode: version.name === 'naive' ? 'naive' : 'holdfast',
    without: version.name === 'naive' ? undefined : version.without,
    orders: workload.orders.length,
    everythingEnded: audited.stuck.length === 0 && endedAtMs.size === workload.orders.length,
    ordersPerSecond: spanMs === 0 ? 0 : round((1000 * endsMs.length) / spanMs),
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    kills: timeline.count('kill'),
    retries: customers.retries,
    faults: Object.fromEntries([...timeline.counts].filter(([kind]) => kind !== 'up')),
    durationMs: Math.round(lived.durationMs),
    timeline: timeline.events,
    endsMs,
  }
}

function percentile(sorted: readonly number[], share: number): number | null {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
