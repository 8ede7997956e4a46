import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { feistel, multiplicative, type Permutation } from 'holdfast/id'
import { v4, v7 } from 'uuid'
import { median, type Sample, toRows } from '../lib/report.ts'
import { openPool, withDatabase } from '../lib/server.ts'
import type { Bench } from '../main.ts'

const ROWS = 1_000_000
const BATCH = 1_000

/**
 * What an id costs as a primary key: a million rows inserted in transactions of a thousand, and the size of what they
 * fill. Only the inserts are timed; ids are made ahead.
 */
export const bench: Bench = {
  async run({ serverUrl, rounds, scale, only, progress }) {
    const samples: Sample[] = []
    const count = Math.max(BATCH, Math.round((ROWS * scale) / BATCH) * BATCH)
    for (let round = 1; round <= rounds; round++) {
      for (const [system, key] of Object.entries(KEYS)) {
        for (const [database, insert] of [
          ['SQLite', insertSqlite],
          ['PostgreSQL', insertPostgres],
        ] as const) {
          if (only !== undefined && !`${database} ${system}`.includes(only)) continue
          const { seconds, bytes } = await insert(serverUrl, key, count)
          samples.push({ system, metric: `${database}: seconds`, unit: 's', value: seconds })
          samples.push({ system, metric: `${database}: size`, unit: 'MB', value: bytes / 1e6 })
          progress(
            `round ${round}: ${database}: ${system}: ${seconds.toFixed(1)} s, ${(bytes / 1e6).toFixed(0)} MB`,
          )
        }
      }
    }
    const of = (system: string) =>
      median(samples.filter((s) => s.metric === 'SQLite: seconds' && s.system === system).map((s) => s.value))
    const [edge, permuted] = [of('sequence, permuted at the edge'), of('multiplicative id')]
    const value = permuted / edge
    return {
      bench: 'id-index',
      rows: toRows(samples),
      // no target, but what the recipe of docs/how-to/ids.md rests on
      targets: Number.isFinite(value)
        ? [
            {
              name: 'idIndex.permutedVsSequence',
              value: Math.round(value * 10) / 10,
              target: '> 1',
              met: value > 1,
            },
          ]
        : [],
    }
  },
}

interface Key {
  readonly type: 'integer' | 'uuid'
  /** The key of row `n`, counted from 0: a bigint, or the text of a UUID. */
  readonly make: (n: number) => bigint | string
  /** What is done to the key when a row goes out. */
  readonly publish?: (key: bigint) => bigint
}

const KEYS: Readonly<Record<string, Key>> = {
  sequence: { type: 'integer', make: (n) => BigInt(n + 1) },
  'sequence, permuted at the edge': {
    type: 'integer',
    make: (n) => BigInt(n + 1),
    publish: (key) => multiplicative('public').encode(key),
  },
  'multiplicative id': { type: 'integer', make: permuted(multiplicative('public')) },
  'feistel id': { type: 'integer', make: permuted(feistel('public')) },
  'random 64 bits': { type: 'integer', make: () => BigInt.asIntN(64, randomBytes(8).readBigUInt64LE()) },
  UUIDv7: { type: 'uuid', make: () => v7() },
  UUIDv4: { type: 'uuid', make: () => v4() },
}

/** As the signed number that a column holds. */
function permuted(permutation: Permutation): (n: number) => bigint {
  return (n) => BigInt.asIntN(64, permutation.encode((1n << 48n) | BigInt(n + 1)))
}

async function insertSqlite(_: string, key: Key, count: number): Promise<{ seconds: number; bytes: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-bench-'))
  const file = join(folder, 'ids.db')
  const db = new DatabaseSync(file)
  try {
    db.exec('pragma journal_mode = wal; pragma synchronous = full')
    db.exec(
      key.type === 'integer'
        ? 'create table item (id integer primary key, note text not null)'
        : 'create table item (id blob primary key, note text not null) without rowid',
    )
    const insert = db.prepare('insert into item (id, note) values (?, ?)')
    let ms = 0
    for (let n = 0; n < count; n += BATCH) {
      const keys = Array.from({ length: BATCH }, (_, i) => key.make(n + i))
      const values = keys.map((k) => (typeof k === 'bigint' ? k : Buffer.from(k.replaceAll('-', ''), 'hex')))
      const began = performance.now()
      db.exec('begin')
      for (const [i, value] of values.entries()) {
        insert.run(value, 'a note of some length, as rows have')
        if (key.publish) key.publish(keys[i] as bigint)
      }
      db.exec('commit')
      ms += performance.now() - began
    }
    db.exec('pragma wal_checkpoint(truncate)')
    return { seconds: ms / 1000, bytes: (await stat(file)).size }
  } finally {
    db.close()
    await rm(folder, { recursive: true, force: true })
  }
}

async function insertPostgres(
  serverUrl: string,
  key: Key,
  count: number,
): Promise<{ seconds: number; bytes: number }> {
  return withDatabase(serverUrl, async (url) => {
    const pool = openPool(url, 1)
    try {
      const type = key.type === 'integer' ? 'bigint' : 'uuid'
      await pool.query(`create table item (id ${type} primary key, note text not null)`)
      const insert = {
        name: 'insert',
        text: `insert into item select id, 'a note of some length, as rows have' from unnest($1::${type}[]) as id`,
      }
      let ms = 0
      for (let n = 0; n < count; n += BATCH) {
        const keys = Array.from({ length: BATCH }, (_, i) => key.make(n + i))
        const values = [keys.map(String)]
        const began = performance.now()
        await pool.query({ ...insert, values })
        if (key.publish) for (const k of keys) key.publish(k as bigint)
        ms += performance.now() - began
      }
      const { rows } = await pool.query("select pg_total_relation_size('item')::float8 as bytes")
      return { seconds: ms / 1000, bytes: rows[0].bytes }
    } finally {
      await pool.end()
    }
  })
}
