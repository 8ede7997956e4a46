import { inFlights } from '../lib/flights.ts'
import { openPool } from '../lib/server.ts'

/**
 * The same statements in as few flights without Holdfast, with nothing promised beyond them: what the effect row costs
 * any library. And in one flight less than can be, to tell what the row costs from what waiting for its answer does.
 * BEGIN goes with the first flight, as the store sends it, and COMMIT alone.
 */
export function byHand(url: string, nextId: () => string) {
  const pool = openPool(url, 16, { pipeline: true })
  return {
    ways: {
      'by hand, without effect row': () => inFlights(pool, [['begin', insertBusiness(nextId())], ['commit']]),
      'by hand, effect row': () => {
        const id = nextId()
        return inFlights(pool, [['begin', insertEffect(id)], [insertBusiness(id)], ['commit']])
      },
      'by hand, effect row, its answer not waited for': () => {
        const id = nextId()
        return inFlights(pool, [['begin', insertEffect(id), insertBusiness(id)], ['commit']])
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
