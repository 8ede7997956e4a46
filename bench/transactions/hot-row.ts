import { sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { mergeVersioned } from 'holdfast/version'
import type pg from 'pg'
import type { Sample } from '../lib/report.ts'
import { openPool, withDatabase } from '../lib/server.ts'
import type { BenchOptions } from '../main.ts'

const CLIENTS = 16

/** The bank exercise: 16 clients add one to the same row; what was lost is what the row lacks at the end. */
export async function hotRow({ serverUrl, scale }: BenchOptions): Promise<Sample[]> {
  const increments = Math.round(2000 * scale)
  const samples: Sample[] = []
  for (const [system, way] of Object.entries(WAYS)) {
    await withDatabase(serverUrl, async (url) => {
      const pool = openPool(url, CLIENTS)
      await pool.query(
        'create table account (id int primary key, balance bigint not null, version bigint not null)',
      )
      await pool.query('insert into account values (1, 0, 1)')
      const add = way(pool)
      let left = increments
      const began = performance.now()
      await Promise.all(
        Array.from({ length: CLIENTS }, async () => {
          while (left-- > 0) await add()
        }),
      )
      const seconds = (performance.now() - began) / 1000
      const { rows } = await pool.query('select balance from account')
      samples.push({
        system,
        metric: `hot row, ${CLIENTS} clients`,
        unit: 'increments/s',
        value: increments / seconds,
        duplicated: 0,
        // Naive ways are meant to lose; the count is shown and is no failure of the run.
        ...(system.startsWith('naive') ? {} : { lost: increments - Number(rows[0].balance) }),
      })
      await pool.end()
    })
  }
  return samples
}

const WAYS: Readonly<Record<string, (pool: pg.Pool) => () => Promise<unknown>>> = {
  'naive: read, add, write': (pool) => async () => {
    const { rows } = await pool.query('select balance from account where id = 1')
    await pool.query('update account set balance = $1 where id = 1', [Number(rows[0].balance) + 1])
  },
  'row lock': (pool) => {
    const store = postgres(pool)
    return () =>
      store.transaction(async (tx) => {
        const [row] = await tx.lockRows<{ balance: string }>('account', { id: 1 })
        await tx.execute(sql`update account set balance = ${Number(row?.balance) + 1} where id = ${1}`)
      })
  },
  version: (pool) => {
    const store = postgres(pool)
    return () =>
      mergeVersioned(
        store,
        'account',
        { id: 1 },
        (row) => ({ balance: Number((row as { balance: string }).balance) + 1 }),
        { attemptsMax: 1000 },
      )
  },
  serializable: (pool) => {
    const store = postgres(pool)
    return () =>
      store.transaction(
        async (tx) => {
          const [row] = await tx.query<{ balance: string }>(sql`select balance from account where id = ${1}`)
          await tx.execute(sql`update account set balance = ${Number(row?.balance) + 1} where id = ${1}`)
        },
        { isolation: 'serializable', retries: 1000 },
      )
  },
  'one UPDATE': (pool) => () => pool.query('update account set balance = balance + 1 where id = 1'),
}
