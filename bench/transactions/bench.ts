import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type Store, sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import type pg from 'pg'
import { perSecond } from '../lib/clients.ts'
import { atMost, median, type Sample, toRows } from '../lib/report.ts'
import { openPool, withDatabase } from '../lib/server.ts'
import type { Bench } from '../main.ts'
import { hotRow } from './hot-row.ts'
import { ownCode } from './own-code.ts'

/** What `store.transaction` and `store.join` cost over the same statements sent by hand through the same driver. */
export const bench: Bench = {
  async run(options) {
    const samples: Sample[] = []
    const { scale, progress, only } = options
    const wanted = (part: string): boolean => only === undefined || part.includes(only)
    const note = (sample: Sample): void => {
      samples.push(sample)
      progress(
        `${sample.metric}: ${sample.system}: ${sample.value.toFixed(sample.value < 100 ? 2 : 0)} ${sample.unit}`,
      )
    }
    for (let round = 1; round <= options.rounds; round++) {
      progress(`round ${round}`)
      if (wanted('postgres'))
        await withDatabase(options.serverUrl, async (url) => {
          const pool = openPool(url, 16)
          const store = postgres(pool)
          await pool.query('create table t (id bigint generated always as identity primary key, v text)')
          const ways = postgresWays(pool, store)
          for (const clients of [1, 16]) {
            await interleaved(ways, clients, 3000 * scale, (system, value) =>
              note({
                system,
                metric: `postgres, ${clients} client${clients > 1 ? 's' : ''}`,
                unit: 'transactions/s',
                value,
              }),
            )
          }
          await pool.end()
        })
      for (const synchronous of ['full', 'normal'] as const) {
        if (!wanted('sqlite')) break
        const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
        const open = (): DatabaseSync => new DatabaseSync(join(folder, 'bench.db'))
        const store = sqlite({ open, synchronous })
        await store.execute('create table t (id integer primary key, v text)')
        const metric = synchronous === 'full' ? 'sqlite, 1 client' : 'sqlite, 1 client, no wait for the disk'
        await interleaved(sqliteWays(open(), store, synchronous), 1, 3000 * scale, (system, value) =>
          note({ system, metric, unit: 'transactions/s', value }),
        )
        if (synchronous === 'full') for (const sample of await ownCode(folder, scale)) note(sample)
        await store.close()
        rmSync(folder, { recursive: true })
      }
      if (wanted('hot row')) for (const sample of await hotRow(options)) note(sample)
    }
    const overhead = (metric: string, system: string, raw: string): number => {
      const values = (name: string): number[] =>
        samples.filter((s) => s.metric === metric && s.system === name).map((s) => s.value)
      return median(values(system).map((value, i) => ((values(raw)[i] as number) / value - 1) * 100))
    }
    return {
      bench: 'transactions',
      rows: toRows(samples),
      targets: [
        atMost(
          'transactions.overheadPercent',
          overhead('postgres, 1 client', 'store.transaction', 'raw pg'),
          10,
        ),
        atMost(
          'transactions.overhead16Percent',
          overhead('postgres, 16 clients', 'store.transaction', 'raw pg'),
          10,
        ),
        atMost('transactions.joinOverheadPercent', overhead('postgres, 1 client', 'store.join', 'raw pg'), 5),
        atMost(
          'transactions.joinOverhead16Percent',
          overhead('postgres, 16 clients', 'store.join', 'raw pg'),
          5,
        ),
        atMost(
          'transactions.sqliteOverheadPercent',
          overhead('sqlite, 1 client', 'store.transaction', 'raw node:sqlite'),
          10,
        ),
      ].filter((target) => !Number.isNaN(target.value)),
    }
  },
}

const WARM_UP_MS = 1_000

type Way = readonly [name: string, run: () => Promise<unknown>]

/** Short turns, so that a machine whose speed drifts treats every way alike. */
async function interleaved(
  ways: readonly Way[],
  clients: number,
  durationMs: number,
  report: (system: string, value: number) => void,
): Promise<void> {
  const turns = 10
  const figures = new Map<string, number[]>()
  // Long enough for the compiler of the engine to be done: a service is measured, not its start.
  for (const [, run] of ways) await perSecond(clients, WARM_UP_MS, run)
  for (let turn = 0; turn < turns; turn++) {
    for (const [name, run] of turn % 2 ? [...ways].reverse() : ways) {
      figures.set(name, [...(figures.get(name) ?? []), await perSecond(clients, durationMs / turns, run)])
    }
  }
  for (const [name, values] of figures) report(name, median(values))
}

function postgresWays(pool: pg.Pool, store: Store): Way[] {
  const insert = { name: 'insert', text: 'insert into t (v) values ($1)', values: ['x'] }
  const raw = async (work: (client: pg.PoolClient) => Promise<unknown>): Promise<void> => {
    const client = await pool.connect()
    try {
      await client.query('begin')
      await work(client)
      await client.query('commit')
    } finally {
      client.release()
    }
  }
  return [
    ['raw pg', () => raw((client) => client.query(insert))],
    [
      'store.transaction',
      () => store.transaction((tx) => tx.execute(sql`insert into t (v) values (${'x'})`)),
    ],
    [
      'store.join',
      () => raw((client) => store.join(client, (tx) => tx.execute(sql`insert into t (v) values (${'x'})`))),
    ],
  ]
}

function sqliteWays(db: DatabaseSync, store: Store, synchronous: string): Way[] {
  db.exec(`pragma synchronous = ${synchronous}`)
  const insert = db.prepare('insert into t (v) values (?)')
  return [
    [
      'raw node:sqlite',
      async () => {
        db.exec('begin immediate')
        insert.run('x')
        db.exec('commit')
      },
    ],
    [
      'store.transaction',
      () => store.transaction((tx) => tx.execute(sql`insert into t (v) values (${'x'})`)),
    ],
  ]
}
