import { perSecond } from '../lib/clients.ts'
import { atLeast, atMost, median, pairedRatio, quantile, type Sample, toRows } from '../lib/report.ts'
import { openPool, withDatabase } from '../lib/server.ts'
import type { Bench } from '../main.ts'
import { type Gauge, postgresWal, redisCpu } from './gauges.ts'
import { startEtcd, startRedis } from './servers.ts'
import { etcdWays, postgresWays, redisWays, type Way } from './ways.ts'

const CONTENDERS = 16
const TURNS = 10

/** Acquire and release, without contention and with 16 contenders for one name, per engine and beside its peers. */
export const bench: Bench = {
  async run({ serverUrl, rounds, scale, only, progress }) {
    const samples: Sample[] = []
    const note = (sample: Sample): void => {
      samples.push(sample)
      progress(`${sample.metric}: ${sample.system}: ${sample.value.toFixed(2)} ${sample.unit}`)
    }
    const measure = async (
      engine: string,
      ways: readonly Way[],
      durationMs: number,
      gauge?: Gauge,
    ): Promise<void> => {
      if (only !== undefined && !engine.includes(only)) return
      await uncontended({ engine, ways, durationMs, note, gauge })
      for (const way of ways.filter((one) => one.waits)) await contended(engine, way, durationMs, note)
    }
    const redis = await startRedis()
    const etcd = await startEtcd()
    try {
      for (let round = 1; round <= rounds; round++) {
        progress(`round ${round}`)
        if (redis) {
          const ways = redisWays(redis.url)
          const gauge = redisCpu(redis.url)
          await measure('redis', ways, 3_000 * scale, gauge)
          gauge.close()
          for (const way of ways) await way.close()
        }
        await withDatabase(serverUrl, async (url) => {
          const pool = openPool(url, CONTENDERS)
          await measure('postgres', await postgresWays(pool), 3_000 * scale, postgresWal(pool))
          await pool.end()
        })
        if (etcd) {
          const ways = etcdWays(etcd.url)
          await measure('etcd', ways, 1_500 * scale)
          for (const way of ways) await way.close()
        }
      }
    } finally {
      redis?.stop()
      etcd?.stop()
    }
    const versus = (metric: string, other: string): number => pairedRatio(samples, metric, 'holdfast', other)
    return {
      bench: 'locks',
      rows: toRows(samples),
      targets: [
        atLeast('locks.redis.uncontendedVsControl', versus('redis, uncontended', 'SET NX, Lua release'), 0.9),
        atLeast('locks.redis.uncontendedVsRedlock', versus('redis, uncontended', 'node-redlock'), 1),
        atLeast('locks.redis.contendedVsRedlock', versus('redis, 16 contenders', 'node-redlock'), 1),
        atMost(
          'locks.redis.longestWaitVsRedlock',
          versus('redis, 16 contenders, longest wait', 'node-redlock'),
          1 / 3,
        ),
        atMost(
          'locks.redis.waitP99VsRedlock',
          versus('redis, 16 contenders, wait p99', 'node-redlock'),
          1 / 3,
        ),
        atLeast('locks.postgres.vsControl', versus('postgres, uncontended', 'two UPDATEs by hand'), 0.9),
      ].filter((target) => !Number.isNaN(target.value)),
    }
  },
}

/** One client; short turns, so that a machine whose speed drifts treats every way alike. */
async function uncontended({
  engine,
  ways,
  durationMs,
  note,
  gauge,
}: {
  readonly engine: string
  readonly ways: readonly Way[]
  readonly durationMs: number
  readonly note: (sample: Sample) => void
  /** What the server spent, where it tells. */
  readonly gauge: Gauge | undefined
}): Promise<void> {
  const sums = new Map<string, { perSecond: number; cpuMicros: number; gauged: number; held: number }>()
  for (const way of ways) await perSecond(1, 100, () => way.hold('n0', () => {}))
  for (let turn = 0; turn < TURNS; turn++) {
    for (const way of turn % 2 ? [...ways].reverse() : ways) {
      const sum = sums.get(way.system) ?? { perSecond: 0, cpuMicros: 0, gauged: 0, held: 0 }
      const gauged = (await gauge?.read()) ?? 0
      const before = process.cpuUsage()
      const perTurn = await perSecond(1, durationMs / TURNS, () => way.hold(`n${sum.held++ % 64}`, () => {}))
      const { user, system } = process.cpuUsage(before)
      sum.perSecond += perTurn / TURNS
      sum.cpuMicros += user + system
      sum.gauged += ((await gauge?.read()) ?? 0) - gauged
      sums.set(way.system, sum)
    }
  }
  for (const [system, { perSecond: value, cpuMicros, gauged, held }] of sums) {
    const metric = `${engine}, uncontended`
    note({ system, metric, unit: 'locks/s', value })
    note({ system, metric: `${metric}, CPU of the client`, unit: 'µs/lock', value: cpuMicros / held })
    if (gauge) note({ system, metric: `${metric}, ${gauge.what}`, unit: gauge.unit, value: gauged / held })
  }
}

async function contended(
  engine: string,
  way: Way,
  durationMs: number,
  note: (sample: Sample) => void,
): Promise<void> {
  const waits: number[][] = Array.from({ length: CONTENDERS }, () => [])
  const served = new Array<number>(CONTENDERS).fill(0)
  let inside = 0
  let overlaps = 0
  const value = await perSecond(CONTENDERS, durationMs, async (client) => {
    const asked = performance.now()
    await way.hold('contended', () => {
      waits[client]?.push(performance.now() - asked)
      served[client] = (served[client] ?? 0) + 1
      if (++inside > 1) overlaps++
      inside--
    })
  })
  const { system } = way
  note({ system, metric: `${engine}, 16 contenders`, unit: 'locks/s', value, lost: overlaps })
  note({ system, metric: `${engine}, 16 contenders, wait p99`, unit: 'ms', value: typicalP99(waits) })
  note({
    system,
    metric: `${engine}, 16 contenders, longest wait`,
    unit: 'ms',
    value: Math.max(...waits.flat()),
  })
  note({
    system,
    metric: `${engine}, 16 contenders, least served`,
    unit: 'locks',
    value: Math.min(...served),
  })
}

/**
 * What one contender meets: the 99th percentile of its own waits, of which the median over the contenders. All waits in one
 * heap would show the few of a contender that takes the lock again and again, while the others starve.
 */
function typicalP99(waits: readonly (readonly number[])[]): number {
  return median(waits.map((own) => (own.length === 0 ? Number.POSITIVE_INFINITY : quantile(own, 0.99))))
}
