import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { Ledger, perSecond, until } from '../lib/clients.ts'
import { atLeast, atMost, pairedRatio, quantile, type Sample, toRows } from '../lib/report.ts'
import { withDatabase } from '../lib/server.ts'
import type { Bench, BenchOptions } from '../main.ts'
import type { BenchMessage, OpenSystem, OutboxSystem } from './system.ts'
import {
  control,
  graphileWorker,
  holdfast,
  holdfastNotify,
  PEERS as PEER_SYSTEMS,
  pgBossPolling,
  SYSTEMS,
} from './systems.ts'

const PEERS = PEER_SYSTEMS.map((system) => system.name)

type Measure = (system: OutboxSystem, options: BenchOptions) => Promise<Omit<Sample, 'system'>[]>

/** Each measurement runs for every system in turn, in each round, on a fresh database. */
const MEASURES: Readonly<Record<string, Measure>> = {
  publish: publishOne,
  'publish-100': publishHundred,
  drain: (system, options) => drain(system, options, 'drain', (n) => `key-${n % 1000}`),
  'drain-unordered': (system, options) => drain(system, options, 'drain, no keys', () => ''),
  live,
  latency: (system, options) => latency(system, options, 'same process'),
  'latency-other': (system, options) => latency(system, options, 'other process'),
  idle,
  relays: manyRelays,
}

/** What LISTEN/NOTIFY can change. */
const ABOUT_WAKING = ['latency', 'latency-other', 'idle']

export const bench: Bench = {
  async run(options) {
    const samples: Sample[] = []
    for (let round = 1; round <= options.rounds; round++) {
      for (const [name, measure] of Object.entries(MEASURES)) {
        if (options.only !== undefined && !name.includes(options.only)) continue
        // In turn forwards and backwards: a disk that gets slower must not always meet the same system.
        for (const system of round % 2 === 1 ? SYSTEMS : [...SYSTEMS].reverse()) {
          if (system === holdfastNotify && !ABOUT_WAKING.includes(name)) continue
          for (const sample of await measure(system, options)) {
            samples.push({ system: system.name, ...sample })
            options.progress(
              `round ${round}: ${sample.metric}: ${system.name}: ${sample.value.toFixed(2)} ${sample.unit}` +
                (sample.lost ? ` LOST ${sample.lost}` : '') +
                (sample.duplicated ? ` twice ${sample.duplicated}` : ''),
            )
          }
        }
      }
    }
    const ratio = (metric: string, other: string | readonly string[], best?: 'lowest'): number =>
      pairedRatio(samples, metric, holdfast.name, other, best)
    return {
      bench: 'outbox',
      rows: toRows(samples),
      targets: [
        atLeast('outbox.publish.vsControl', ratio('publish', control.name), 0.9),
        atLeast('outbox.publish.vsBestPeer', ratio('publish', PEERS), 1),
        atLeast('outbox.drain.vsBestPeer', ratio('drain', PEERS), 3),
        atLeast('outbox.live.vsControl', ratio('live', control.name), 0.85),
        atLeast('outbox.live.vsBestPeer', ratio('live', PEERS), 1),
        atMost('outbox.latencyP50.vsBestPeer', ratio('latency p50, same process', PEERS, 'lowest'), 1),
        atMost('outbox.latencyOtherP50.vsBestPeer', ratio('latency p50, other process', PEERS, 'lowest'), 1),
      ].filter((target) => !Number.isNaN(target.value)),
    }
  },
}

async function withSystem<T>(
  system: OutboxSystem,
  { serverUrl }: BenchOptions,
  work: (open: OpenSystem, url: string) => Promise<T>,
): Promise<T> {
  return withDatabase(serverUrl, async (url) => {
    const open = await system.open(url, 'both')
    try {
      await open.setup()
      return await work(open, url)
    } finally {
      await open.close()
    }
  })
}

function message(n: number, key = `key-${n % 1000}`): BenchMessage {
  return { key, payload: { n, sentAt: Date.now() } }
}

function publishOne(system: OutboxSystem, options: BenchOptions): ReturnType<Measure> {
  return withSystem(system, options, async ({ publish }) => {
    await perSecond(16, 500 * options.scale, (_, n) => publish([message(n)]))
    const value = await perSecond(16, 4000 * options.scale, (_, n) => publish([message(n)]))
    return [{ metric: 'publish', unit: 'transactions/s', value }]
  })
}

function publishHundred(system: OutboxSystem, options: BenchOptions): ReturnType<Measure> {
  return withSystem(system, options, async ({ publish }) => {
    const value = await perSecond(16, 3000 * options.scale, (_, n) =>
      publish(Array.from({ length: 100 }, (_, i) => message(n * 100 + i))),
    )
    return [{ metric: 'publish, 100 a transaction', unit: 'messages/s', value: value * 100 }]
  })
}

async function preload({ publish }: OpenSystem, count: number, key: (n: number) => string): Promise<void> {
  for (let n = 0; n < count; n += 100) {
    await publish(Array.from({ length: Math.min(100, count - n) }, (_, i) => message(n + i, key(n + i))))
  }
}

function drain(
  system: OutboxSystem,
  options: BenchOptions,
  metric: string,
  key: (n: number) => string,
): ReturnType<Measure> {
  return withSystem(system, options, async (open) => {
    const count = Math.round(20_000 * options.scale)
    await preload(open, count, key)
    const ledger = new Ledger()
    const began = performance.now()
    let ended = 0
    const consumer = await open.consume(({ n }) => {
      ledger.record(n)
      if (ledger.distinct === count) ended = performance.now()
    })
    await until(`${count} messages`, () => ended > 0, 300_000)
    await consumer.stop()
    return [{ metric, unit: 'messages/s', value: count / ((ended - began) / 1000), ...ledger.audit(count) }]
  })
}

function live(system: OutboxSystem, options: BenchOptions): ReturnType<Measure> {
  return withSystem(system, options, async (open) => {
    const ledger = new Ledger()
    const consumer = await open.consume(({ n }) => ledger.record(n))
    let sent = 0
    const began = performance.now()
    await perSecond(8, 4000 * options.scale, () => open.publish([message(sent++)]))
    await until(`${sent} messages`, () => ledger.distinct === sent, 300_000)
    const value = sent / ((performance.now() - began) / 1000)
    await consumer.stop()
    return [{ metric: 'live', unit: 'messages/s', value, ...ledger.audit(sent) }]
  })
}

/**
 * 200 transactions a second at even distances; the time from the reply to COMMIT to the handler. The first second does not
 * count, for any system: whoever is measured first would pay for the warming up of a process that has just started.
 */
function latency(
  system: OutboxSystem,
  options: BenchOptions,
  where: 'same process' | 'other process',
): ReturnType<Measure> {
  return withSystem(system, options, async (open, url) => {
    const handledAt = new Map<number, number>()
    const onMessage = (n: number, at: number): void => {
      if (!handledAt.has(n)) handledAt.set(n, at)
    }
    const consumer =
      where === 'same process'
        ? await open.consume(({ n }) => onMessage(n, now()))
        : await consumeElsewhere(system, url, onMessage)
    const warmUp = 200
    const count = warmUp + Math.round(1000 * options.scale)
    const committedAt: number[] = []
    const began = now()
    for (let n = 0; n < count; n++) {
      const due = began + n * 5
      while (now() < due) await new Promise((resolve) => setTimeout(resolve, due - now()))
      void open.publish([message(n)]).then(() => {
        committedAt[n] = now()
      })
    }
    await until(
      `${count} messages`,
      () => handledAt.size === count && Object.keys(committedAt).length === count,
      60_000,
    )
    await consumer.stop()
    // A handler can be quicker than the publisher's own event loop; less than no time counts as none.
    const times = committedAt.map((at, n) => Math.max(0, (handledAt.get(n) as number) - at)).slice(warmUp)
    return [
      { metric: `latency p50, ${where}`, unit: 'ms', value: quantile(times, 0.5) },
      { metric: `latency p95, ${where}`, unit: 'ms', value: quantile(times, 0.95) },
    ]
  })
}

/** One clock for all processes of the machine. */
function now(): number {
  return performance.timeOrigin + performance.now()
}

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url))

async function consumeElsewhere(
  system: OutboxSystem,
  url: string,
  onMessage: (n: number, at: number) => void,
): Promise<{ stop(): Promise<void> }> {
  const child = fork(WORKER, [system.name, url])
  await new Promise<void>((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code) => reject(new Error(`the consumer process ended with ${code}`)))
    child.on('message', (batch: 'ready' | [number, number][]) => {
      if (batch === 'ready') resolve()
      else for (const [n, at] of batch) onMessage(n, at)
    })
  })
  return {
    async stop() {
      const ended = new Promise((resolve) => child.on('exit', resolve))
      child.send('stop')
      await ended
    },
  }
}

/** Transactions a second that an idle consumer costs the server, all housekeeping included. */
function idle(system: OutboxSystem, options: BenchOptions): ReturnType<Measure> {
  return withSystem(system, options, async (open, url) => {
    const consumer = await open.consume(() => {})
    await open.publish([message(0)])
    const observer = new pg.Client({ connectionString: options.serverUrl })
    await observer.connect()
    const count = async (): Promise<number> => {
      const { rows } = await observer.query(
        'select xact_commit + xact_rollback as n from pg_stat_database where datname = $1',
        [new URL(url).pathname.slice(1)],
      )
      return Number(rows[0].n)
    }
    const seconds = 8 * options.scale
    // The server publishes its counters a second late.
    await new Promise((resolve) => setTimeout(resolve, 4000 * options.scale))
    const before = await count()
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    const after = await count()
    await observer.end()
    await consumer.stop()
    return [{ metric: 'idle', unit: 'transactions/s', value: (after - before) / seconds }]
  })
}

/** Draining with several consumer processes; only systems whose order or claims make it interesting. */
async function manyRelays(system: OutboxSystem, options: BenchOptions): ReturnType<Measure> {
  if (system !== holdfast && system !== pgBossPolling && system !== graphileWorker) return []
  const samples: Omit<Sample, 'system'>[] = []
  for (const processes of [1, 2, 4]) {
    samples.push(
      ...(await withSystem(system, options, async (open, url) => {
        const count = Math.round(60_000 * options.scale)
        await preload(open, count, (n) => `key-${n % 1000}`)
        const ledger = new Ledger()
        let ended = 0
        let first = 0
        const consumers = await Promise.all(
          Array.from({ length: processes }, () =>
            consumeElsewhere(system, url, (n, at) => {
              if (first === 0 || at < first) first = at
              ledger.record(n)
              if (ledger.distinct === count && ended === 0) ended = at
            }),
          ),
        )
        await until(`${count} messages`, () => ended > 0, 300_000)
        await Promise.all(consumers.map((consumer) => consumer.stop()))
        const metric = `drain, ${processes} process${processes === 1 ? '' : 'es'}`
        return [
          { metric, unit: 'messages/s', value: count / ((ended - first) / 1000), ...ledger.audit(count) },
        ]
      })),
    )
  }
  return samples
}
