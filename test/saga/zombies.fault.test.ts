/**
 * A runner that is stopped past its lease (SIGSTOP), whose successor finishes or undoes its saga, and that then goes on
 * (SIGCONT): nothing changes where the successor has been.
 */
import { type Store, sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { isStopped } from 'holdfast/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { prepareAccounts, readAccount, serveAccounts } from '../participant/account-step.ts'
import type { Service } from '../participant/listen.ts'
import { type FreshPool, freshPool } from '../support/postgres.ts'
import { startFixture } from '../support/process.ts'
import { until } from '../support/wait.ts'
import { effectsOf, startRunner, stores } from './stores.ts'
import { tripSaga } from './trip.ts'

const PROCESS = new URL('./step-process.ts', import.meta.url)

let database: FreshPool
let accounts: Store
let service: Service
beforeAll(async () => {
  database = await freshPool()
  accounts = postgres(database.pool)
  await prepareAccounts(accounts)
  service = await serveAccounts('fastify', accounts)
})
afterAll(async () => {
  await service[Symbol.asyncDispose]()
  await database.drop()
})

interface Line {
  readonly ready?: boolean
  readonly lost?: string
  readonly code?: string
}

/** Where it is stopped, and what the zombie was about to do, or had done without having said so. */
const PLACES = [
  ['saga.journal.before@3', 'the last entry and the end of the saga'],
  ['saga.journal.after@2', 'an entry of the journal that it does not know to be written'],
  ['participant.begun', 'a step in a store participant'],
  ['participant.worked', 'a step in a store participant, its work done and not committed'],
  ['saga.step.after', 'the first entry, its step committed with it'],
  ['trip.send', 'a step in an HTTP participant'],
] as const

describe.each(stores)('a zombie on $name', ({ name, open }) => {
  const holdsTheFile = (place: string) => name === 'sqlite' && /participant/.test(place)

  // A stopped writer of SQLite holds the file until it is killed: there is no successor then.
  it.for(PLACES.filter(([place]) => !holdsTheFile(place)))(
    'stopped at %s, before %s, changes nothing of what its successor finished, or undid',
    { timeout: 90_000 },
    async ([place]) => {
      await Promise.all([passesBy(place, 'finished'), passesBy(place, 'undid')])
    },
  )

  async function passesBy(place: string, how: 'finished' | 'undid'): Promise<void> {
    await using opened = await open()
    const { store: own, at } = opened
    const second = await opened.second()
    const places = { own, other: second.store, url: `${service.url}/step` }
    const trip = tripSaga(places)
    const id = `${name} ${place} ${how}`
    await trip.start(own, {}, { id })
    const [point, hit] = place.split('@')
    const zombie = startFixture<Line>(PROCESS, {
      args: [
        JSON.stringify({
          own: at,
          other: second.at,
          url: places.url,
          failpoint: `${point}=stop@${hit ?? 1}`,
          ttlMs: 2_000,
        }),
      ],
    })
    await until(() => isStopped(zombie.pid), { deadlineMs: 40_000, everyMs: 20, what: 'the zombie to stop' })
    const handle = trip.get(own, id)
    if (how === 'undid') await handle.cancel()
    await using _successor = await startRunner(own, [trip], { ttlMs: 5_000 })
    const ended = await handle.result().catch((error: { code: string }) => error.code)
    expect(ended).toBe(how === 'undid' ? 'SAGA_CANCELLED' : 'arrived')
    const look = async () => ({
      own: await effectsOf(own, id),
      other: await effectsOf(second.store, id),
      account: await readAccount(accounts, id),
      saga: await own.query(
        sql`select state, output, reason, wake_at_ms, held from ${own.table('saga')} where id = ${id}`,
      ),
      journal: await own.query(
        sql`select seq, kind, step, data from ${own.table('saga_entry')} where saga_id = ${id} order by seq`,
      ),
    })
    const before = await look()
    if (how === 'undid') {
      expect(before.account).toMatchObject({ balance: 0 })
      for (const [effects, at] of [
        [before.own, 'own'],
        [before.other, 'other'],
      ] as const)
        expect([[], [at, `undo ${at}`]]).toContainEqual([...effects].sort())
    } else {
      expect([before.own, before.other, before.account]).toEqual([
        ['own'],
        ['other'],
        { balance: 1, held: 0, applied: 1 },
      ])
    }
    zombie.thaw()
    // It says so once it has met the newer epoch, wherever that was.
    await zombie.line((line) => line.lost === id, { deadlineMs: 20_000 })
    zombie.send('stop')
    expect(await zombie.exited).toMatchObject({ code: 0 })
    expect(await look()).toEqual(before)
  }
})
