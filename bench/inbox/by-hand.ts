import type pg from 'pg'
import { openPool } from '../lib/server.ts'

/**
 * The same statements in as few flights without Holdfast, with nothing promised beyond them: what the effect row costs
 * any library.
 */
export function byHand(url: string, nextId: () => string) {
  const pool = openPool(url, 16, { pipeline: true })
  return {
    ways: {
      'by hand, without effect row': () => inFlights(pool, [insertBusiness(nextId())]),
      'by hand, effect row': () => {
        const id = nextId()
        return inFlights(pool, [insertEffect(id), insertBusiness(id)])
      },
    },
    end: () => pool.end(),
  }
}

const insertBusiness = (id: string) => ({
  name: 'business',
  text: 'insert into business (id, v) values ($1, $2)',
  values: [id, 'x'],
})

/** What `recordEffect` sends, put together beforehand. */
const insertEffect = (id: string) => ({
  name: 'effect',
  text: `insert into holdfast_effect (scope, id, phase, epoch, recorded_at_ms)
    select $1, $2, $3, 0, (extract(epoch from clock_timestamp()) * 1000)::bigint on conflict do nothing`,
  values: ['inbox/bench', id, 'bench'],
})

/** BEGIN with the first statement in one flight, as the store sends them, each other statement alone, and COMMIT. */
async function inFlights(pool: pg.Pool, [first, ...rest]: readonly pg.QueryConfig[]): Promise<void> {
  const client = await pool.connect()
  try {
    const begun = client.query('begin')
    await client.query(first as pg.QueryConfig)
    await begun
    for (const statement of rest) await client.query(statement)
    await client.query('commit')
  } finally {
    client.release()
  }
}
