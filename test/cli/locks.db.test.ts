import { createLocks, storeLocks } from 'holdfast/lock'
import { describe, expect, it } from 'vitest'
import { stores } from '../inbox/stores.ts'
import { until } from '../support/wait.ts'
import { holdfast } from './run.ts'

describe.each(stores)('locks on $name', ({ name, open }) => {
  it('are listed, shown and released', async () => {
    await using opened = await open()
    const url = name === 'sqlite' ? `sqlite:${opened.at}` : opened.at
    const run = (...argv: string[]) => holdfast([...argv, '--store', url])
    expect((await run('locks', 'list')).out).toBe('no lock is held\n')
    expect((await run('locks', 'show', 'a')).code).toBe(1)

    await using locks = createLocks(storeLocks(opened.store), { owner: 'host:1' })
    const lock = await locks.acquire('invoice:42')
    const next = locks.acquire('invoice:42')
    await until(async () => (await locks.show('invoice:42'))?.waiters.length === 1)
    await using _reader = await locks.acquireShared('report')

    expect((await run('locks', 'list')).out).toMatch(
      /^name +mode +holder +token +age +left +waiters\ninvoice:42 +exclusive +host:1\/1 +1 .* 1\nreport +shared +host:1\/\d +1 .* 0\n$/,
    )
    expect((await run('locks', 'list', '--json', '--limit', '1')).json().locks).toMatchObject([
      {
        name: 'invoice:42',
        holders: [{ holder: 'host:1/1', token: '1' }],
        waiters: [{ holder: 'host:1/2', token: '2' }],
      },
    ])
    expect((await run('locks', 'show', 'invoice:42')).out).toMatch(/holds +exclusive[\s\S]*waits +exclusive/)
    expect((await run('locks', 'release', 'invoice:42')).code).toBe(64)
    expect((await run('locks', 'release', 'invoice:42', '--force')).out).toBe(
      'released invoice:42 of host:1/1, token 1\n',
    )
    expect((await next).token).toBe(2n)
    expect(await lock.release()).toBe(false)
    await (await next).release()
  })
})
