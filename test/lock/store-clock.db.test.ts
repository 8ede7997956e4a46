/** A store whose clock is set back: no lease that the store has granted may end before its holder's own deadline. */
import { sql } from 'holdfast'
import { storeLocks } from 'holdfast/lock'
import { describe, expect, it } from 'vitest'
import { stores } from '../inbox/stores.ts'

const HOUR_MS = 3_600_000

describe.each(stores)('the clock of $name is set back by an hour', ({ open }) => {
  it('and a lease that is renewed afterwards runs on', async () => {
    await using opened = await open()
    const { store } = opened
    const engine = storeLocks(store)
    const request = (holder: string) =>
      ({ name: 'a', holder, mode: 'exclusive', limit: 1, ttlMs: 10_000 }) as const
    await engine.ask(request('before'), { wait: true })
    await engine.release(request('before'))
    // What the row looks like then: it was last changed in what is now the future.
    await store.execute(sql`update ${store.table('lock')} set changed_ms = changed_ms + ${HOUR_MS}`)

    expect((await engine.ask(request('holder'), { wait: true })).kind).toBe('held')
    expect(await engine.renew(request('holder'))).toBeDefined()
    expect((await engine.ask(request('other'), { wait: false })).kind).toBe('refused')
    expect(await engine.renew(request('holder'))).toBeDefined()
    expect(await engine.release(request('holder'))).toBe(true)
    await engine.close()
  })
})
