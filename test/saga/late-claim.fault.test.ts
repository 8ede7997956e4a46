/** A runner whose leases end at a bad moment: none of its sagas stands still for that. */
import { type Store, sql } from 'holdfast'
import { saga } from 'holdfast/saga'
import { failpoints } from 'holdfast/testing'
import { afterEach, expect, it } from 'vitest'
import { openStoreAt } from '../support/store-at.ts'
import { until } from '../support/wait.ts'
import { startRunner, stores } from './stores.ts'

async function lowestEpoch(store: Store): Promise<number> {
  const [row] = await store.read<{ epoch: unknown }>(
    sql`select min(epoch) as epoch from ${store.table('lease')} where scope = 'saga/default'`,
  )
  return Number(row?.epoch)
}

afterEach(() => failpoints.reset())

it.each(stores)(
  'what was taken under a lease that is over runs under the next one, on $name',
  async ({ open }) => {
    await using opened = await open()
    const { store } = opened
    const epochs: bigint[] = []
    const job = saga('job', (s) =>
      s.step('long', async ({ epoch }) => {
        epochs.push(epoch)
        await new Promise((resolve) => setTimeout(resolve, 300)) // long enough for the next look at what is due
        return 'done'
      }),
    )
    const handle = await job.start(store, undefined)
    let stoodStill = false
    const ttlMs = 600
    failpoints.arm('saga.claimed', async () => {
      if (stoodStill) return
      stoodStill = true
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ttlMs) // nothing of this process runs
      await until(async () => (await lowestEpoch(store)) === 2, { everyMs: 2, what: 'the next lease' })
      await until(() => runner.figures().partitions > 0, { everyMs: 2, what: 'it to be open' })
    })
    await using runner = await startRunner(store, [job], { ttlMs })
    expect(await handle.result()).toBe('done')
    expect(stoodStill).toBe(true)
    expect(epochs).toEqual([2n])
  },
)

it.each(stores)('what was taken by a COMMIT without an answer is taken again, on $name', async ({ open }) => {
  await using opened = await open()
  const { store, at } = opened
  await using beside = openStoreAt(at)
  const isHeld = async () => {
    const [row] = await beside.store.read<{ held: unknown }>(
      sql`select held from ${store.table('saga')} where id = 'one'`,
    )
    return Number(row?.held) === 1
  }
  const job = saga('job', async (s) => s.step('step', () => 'done'))
  await using _runner = await startRunner(store, [job], { pollMs: 50 })
  let [looking, lost] = [false, false]
  failpoints.arm('store.commit.after', async () => {
    if (looking || lost) return // looking commits too
    looking = true
    const held = await isHeld()
    looking = false
    if (!held) return
    lost = true
    throw new Error('connection lost')
  })
  const handle = await job.start(beside.store, undefined, { id: 'one' })
  expect(await handle.result()).toBe('done')
  expect(lost).toBe(true)
})

it.each(stores)(
  'sagas that wait when their lease is lost take no place from others, on $name',
  async ({ open }) => {
    await using opened = await open()
    const { store } = opened
    const ttlMs = 600
    const job = saga('job', async (s) => s.receive<string>('go'))
    await using runner = await startRunner(store, [job], { ttlMs, concurrency: 1, parkAfterMs: 60_000 })
    const handle = await job.start(store, undefined)
    await until(() => runner.figures().waiting === 1, { what: 'the saga to wait' })
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ttlMs) // nothing of this process runs
    await until(async () => (await lowestEpoch(store)) === 2, { everyMs: 2, what: 'the next lease' })
    await handle.signal('go', 'gone')
    expect(await handle.result()).toBe('gone')
  },
)
