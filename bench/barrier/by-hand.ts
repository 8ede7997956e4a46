import { inFlights } from '../lib/flights.ts'
import { openPool } from '../lib/server.ts'

/** One call: the id of its charge and of its saga, and the account that is charged, which no call beside it charges. */
export interface Call {
  readonly id: string
  readonly account: number
}

/**
 * The charge of an account and its barrier without Holdfast: the same statements, put together beforehand, in the same
 * flights, with nothing promised beyond them. What the barrier costs there, it costs any library.
 *
 * `in the first flight` tells what the flight of the barrier's own costs: there the work's first statement leaves before it is known
 * whether the call was made before.
 */
export function byHand(url: string, nextCall: () => Call) {
  const pool = openPool(url, 16, { pipeline: true })
  return {
    ways: {
      'by hand, plain': () => {
        const call = nextCall()
        return inFlights(pool, [['begin', lock(call)], [charge(call)], [writeDown(call)], ['commit']])
      },
      'by hand, barrier': () => {
        const call = nextCall()
        const last = [storeResult(call), 'commit'] as const
        return inFlights(pool, [
          ['begin', enter(call)],
          [lock(call)],
          [charge(call)],
          [writeDown(call)],
          last,
        ])
      },
      'by hand, barrier in the first flight': () => {
        const call = nextCall()
        const last = [storeResult(call), 'commit'] as const
        return inFlights(pool, [['begin', enter(call), lock(call)], [charge(call)], [writeDown(call)], last])
      },
    },
    end: () => pool.end(),
  }
}

const lock = ({ account }: Call) => ({
  name: 'lock',
  text: 'select balance from account where id = $1 for update',
  values: [account],
})

const charge = ({ account }: Call) => ({
  name: 'charge',
  text: 'update account set balance = balance - 1 where id = $1',
  values: [account],
})

const writeDown = ({ id, account }: Call) => ({
  name: 'write',
  text: 'insert into charge (id, account, amount) values ($1, $2, 1)',
  values: [id, account],
})

const NOW = '(extract(epoch from clock_timestamp()) * 1000)::bigint'

/** The gate of the saga and the row of the step, as the participant sends them. */
const enter = ({ id }: Call) => ({
  name: 'enter',
  text: `insert into holdfast_effect as present (scope, id, phase, epoch, result, recorded_at_ms)
    values ($1, $2, '', $3, null, ${NOW}), ($1, $2, $4, $3, null, ${NOW})
    on conflict (scope, id, phase) do update set epoch = excluded.epoch,
      recorded_at_ms = case when present.recorded_at_ms < excluded.recorded_at_ms - 3600000
        then excluded.recorded_at_ms else present.recorded_at_ms end
    where present.phase = '' and present.epoch <= excluded.epoch
    returning phase`,
  values: ['participant/by-hand', id, '1', 'charge/do'],
})

const storeResult = ({ id }: Call) => ({
  name: 'result',
  text: 'update holdfast_effect set result = $1 where scope = $2 and id = $3 and phase = $4',
  values: [JSON.stringify({ id }), 'participant/by-hand', id, 'charge/do'],
})
