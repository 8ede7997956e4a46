import { Redis } from 'ioredis'
import type pg from 'pg'
import { walBytes } from '../lib/costs.ts'

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

export function postgresWal(pool: pg.Pool): Gauge {
  return { what: 'WAL', unit: 'bytes/lock', read: () => walBytes(pool) }
}
