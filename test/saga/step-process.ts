/**
 * A runner in a process of its own, for one saga whose steps have their effect in the journal's store, in another store
 * and over HTTP; with `failpoint`, it kills or stops itself there. Says which sagas it may not run any more.
 */
import { sagaRunner } from 'holdfast/saga'
import { armFailpointsFromEnv } from 'holdfast/testing'
import { openStoreAt, type StoreAt } from '../support/store-at.ts'
import { askSaga, type TripPlaces, tickSaga, tripSaga } from './trip.ts'

const {
  own,
  other,
  url,
  failpoint,
  ttlMs,
  ticks,
  parkAfterMs = 5,
} = JSON.parse(process.argv[2] as string) as {
  own: string
  other: string
  url?: string
  failpoint?: string
  ttlMs: number
  /** Starts a saga each second as well. */
  ticks?: boolean
  parkAfterMs?: number
}

const opened: StoreAt[] = []

function open(at: string) {
  // The timeout bounds how long a stopped process can hold what it has locked.
  const one = openStoreAt(at, { max: 8, idle_in_transaction_session_timeout: 700 })
  opened.push(one)
  return one.store
}

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)
const places: TripPlaces = { own: open(own), other: open(other), url }
const silent = (): void => {}
const onLost = (text: string, fields?: Readonly<Record<string, unknown>>): void => {
  if (/not run here any more/.test(text))
    say({ lost: fields?.saga, code: (fields?.reason as { code?: string } | undefined)?.code })
}
armFailpointsFromEnv(failpoint)
const tick = tickSaga(places)
const runner = sagaRunner(places.own, {
  sagas: [tripSaga(places), tick, askSaga(places)],
  recurring: ticks
    ? [{ name: 'each second', cron: '* * * * * *', saga: tick, input: (at) => at.toISOString() }]
    : [],
  ttlMs,
  pollMs: 20,
  parkAfterMs,
  log: { debug: silent, info: onLost, warn: silent, error: onLost },
})
await runner.ready
say({ ready: true })

// Ends by itself, once all that was under way has been answered.
process.stdin.once('data', async () => {
  process.stdin.destroy()
  await runner.stop()
  for (const one of opened) await one[Symbol.asyncDispose]()
})
