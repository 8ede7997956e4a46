import { storeQueue } from 'holdfast/store-queue'
import { testMessage } from 'holdfast/testing'
import { it } from 'vitest'
import { startFixture } from '../support/process.ts'
import { stores } from './stores.ts'
it('x', async () => {
  await using opened = await stores[0]!.open()
  const { store, at } = opened
    await using queue = storeQueue(store, { partitions: 1 })
    await queue.declare({ topic: 'paid', group: 'ledger' })
    const messages = Array.from({ length: 12 }, (_, i) => testMessage({ id: `m${i}`, topic: 'paid', key: `k${i}` }))
    console.log(await queue.publish(messages, { signal: AbortSignal.timeout(5_000) }))
    console.log(await queue.figures())
    const child = startFixture<any>(new URL('./deadly-process.ts', import.meta.url), { args: [JSON.stringify({ kind: 'sqlite', at })] })
    console.log(await child.exited, child.lines, child.stderr())
    console.log(await queue.figures(), await store.query('select * from applied'), await store.query('select * from holdfast_dead_letter'), await store.query('select * from holdfast_inbox_attempt'))
})
