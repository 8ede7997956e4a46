import { Redis } from 'ioredis'
import type pg from 'pg'

/** A counter of the server's that only grows. */
export interface Gauge {
  readonly what: string
  readonly unit: string
  read(): Promise<number>
}

/** What Redis itself has spent of its processor; reading it costs it a command. */
export function redisCpu(url: string): Gauge & { close(): void } {
  const client = new Redis(url)
  return {
    what: 'CPU of the server',
    unit: 'µs/lock',
    async read() {
      const text = await client.info('cpu')
      const seconds = (name: string): number => Number(new RegExp(`${name}:([\\d.]+)`).exec(text)?.[1])
      return 1e6 * (seconds('used_cpu_user') + seconds('used_cpu_sys'))
    },
    close: () => client.disconnect(),
  }
}

/** What PostgreSQL has written ahead, in bytes. */
export function walBytes(pool: pg.Pool): Gauge {
  return {
    what: 'WAL',
    unit: 'bytes/lock',
    async read() {
      const { rows } = await pool.query(
        "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as n",
      )
      return rows[0].n
    },
  }
}
