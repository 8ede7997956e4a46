/** A process that runs trips until it is stopped; with `hotel` as its second argument, it dies after the first room. */
import { sagaRunner } from 'holdfast/saga'
import { openStores } from './stores.ts'
import { bookTrip } from './trip.ts'

const [folder = '.', killAt] = process.argv.slice(2)
const stores = await openStores(folder)
const die = (): void => {
  if (killAt === 'hotel') process.kill(process.pid, 'SIGKILL')
}
const runner = sagaRunner(stores.trips, { sagas: [bookTrip(stores, die)], ttlMs: 2_000 })
process.once('SIGTERM', async () => {
  await runner.stop()
  await stores.close()
  process.exit(0)
})
