import type pg from 'pg'
import { openPool } from '../lib/server.ts'

/**
 * The same statements in as few flights without Holdfast, with nothing promised beyond them: what the effect row costs
 * any library. And in one flight less than can be, to tell what the row costs from what waiting for its answer does.
 */
export function byHand(url: string, nextId: () => string) {
  const pool = openPool(url, 16, { pipeline: true })
  return {
    ways: {
      'by hand, without effect row': () => inFlights(pool, [[insertBusiness(nextId())]]),
      'by hand, effect row': () => {
        const id = nextId()
        return inFlights(pool, [[insertEffect(id)], [insertBusiness(id)]])
      },
      'by hand, effect row, its answer not waited for': () => {
        const id = nextId()
        return inFlights(pool, [[insertEffect(id), insertBusiness(id)]])
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

/** BEGIN goes with the first flight, as the store sends it, and COMMIT alone. */
async function inFlights(
  pool: pg.Pool,
  [first = [], ...rest]: readonly (readonly pg.QueryConfig[])[],
): Promise<void> {
  const client = await pool.connect()
  const send = (flight: readonly (pg.QueryConfig | string)[]) =>
    Promise.all(flight.map((statement) => client.query(statement as pg.QueryConfig)))
  try {
    await send(['begin', ...first])
    for (const flight of rest) await send(flight)
    await send(['commit'])
  } finally {
    client.release()
  }
}
