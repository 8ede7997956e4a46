/**
 * The textbook saga: a trip is a flight, a hotel and a car, booked with three services that each have a database of
 * their own. All three are booked, or none is. Run with `npm run example:travel`; it starts a worker as a process of its
 * own, kills it in the middle of a trip, starts another, and shows what the three databases hold at the end.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bookingsOf, openStores } from './stores.ts'
import { bookTrip } from './trip.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-travel-'))
const stores = await openStores(folder)
const trip = bookTrip(stores)
const worker = (killAt = ''): ChildProcess =>
  spawn(
    process.execPath,
    [
      ...process.execArgv,
      fileURLToPath(new URL(`./worker${import.meta.url.slice(-3)}`, import.meta.url)),
      folder,
      killAt,
    ],
    {
      stdio: 'inherit',
    },
  )

console.log('three trips: to Lisbon, to Oslo (whose cars are sold out), and to Rome')
const handles = await Promise.all(
  ['Lisbon', 'Oslo', 'Rome'].map((to) => trip.start(stores.trips, { to }, { id: `trip-to-${to}` })),
)
const first = worker('hotel')
await new Promise((resolve) => first.once('exit', resolve))
console.log('the worker was killed right after a hotel was booked; another one takes over')
const second = worker()
for (const handle of handles) {
  const outcome = await handle.result().then(
    (booked) => `booked ${JSON.stringify(booked)}`,
    (error: Error) => error.message,
  )
  console.log(`${handle.id}: ${outcome}`)
}
second.kill('SIGTERM')
await new Promise((resolve) => second.once('exit', resolve))
let wrong = 0
for (const { id } of handles) {
  const bookings = await bookingsOf(stores, id)
  console.log(`${id}: ${bookings.length === 0 ? 'nothing is booked' : bookings.join(', ')}`)
  if (bookings.length !== 0 && bookings.length !== 3) wrong += 1
}
await stores.close()
rmSync(folder, { recursive: true, force: true })
console.log(
  wrong === 0
    ? 'every trip is whole, or nothing of it is left'
    : `${wrong} trips are neither whole nor given back`,
)
process.exit(wrong === 0 ? 0 : 1)
