import { collection, createReplica } from 'holdfast/replica'
import { describe, expect, it } from 'vitest'
import { stores } from '../inbox/stores.ts'
import { holdfast } from './run.ts'

describe.each(stores)('replicas on $name', ({ name, open }) => {
  it('say how old they are, and show what was written apart', async () => {
    await using opened = await open()
    await using other = await open()
    const url = name === 'sqlite' ? `sqlite:${opened.at}` : opened.at
    const run = (...argv: string[]) => holdfast(['replicas', ...argv, '--store', url])
    const none = await run('status')
    expect([none.code, none.err]).toEqual([1, expect.stringContaining('no replica yet')])
    expect((await run('conflicts', 'list')).out).toBe('no conflicts\n')

    const collections = { dish: collection<{ price: number }>({ merge: 'last-writer-wins' }) }
    const members = ['berlin', 'paris']
    const berlin = createReplica(opened.store, { id: 'berlin', members, collections })
    const paris = createReplica(other.store, { id: 'paris', members, collections })
    await opened.store.transaction((tx) => berlin.put(tx, 'dish', 'soup', { price: 5 }))
    await other.store.transaction((tx) => paris.put(tx, 'dish', 'soup', { price: 6 }))
    const link = { ask: (question: object) => paris.answer(JSON.parse(JSON.stringify(question))) }
    await using running = berlin.start({ peers: { paris: link as never }, pullEveryMs: 2_000_000 })
    await running.pull('paris')
    await running.stop() // its own first pull is over too, and writes no later moment

    expect((await run('status')).out).toMatch(
      /^berlin: reads are at most .* old\n1 records, 0 deleted and kept, 1 conflicts, 1 changes to send .*\npeer +heard of +pulled from +has ours\nparis +.* ago +.* ago +never\n$/,
    )
    expect((await run('status', '--json')).json()).toMatchObject({
      replica: 'berlin',
      staleMs: expect.any(Number),
      peers: [{ replica: 'paris', hasOursAgoMs: null }],
    })
    expect((await run('status', '--max-stale-ms', '600000')).code).toBe(0)
    expect((await run('status', '--max-stale-ms', 'some')).code).toBe(64)
    await opened.store.execute('update holdfast_replica_member set pulled_at_ms = 1 where is_self = 0')
    expect((await run('status', '--max-stale-ms', '600000')).code).toBe(1)

    expect((await run('conflicts', 'list', '--collection', 'cart')).out).toBe('no conflicts\n')
    const { conflicts } = (await run('conflicts', 'list', '--json', '--key', 'soup')).json()
    expect(conflicts).toMatchObject([
      {
        policy: 'last-writer-wins',
        sides: [{ replica: 'berlin', value: { price: 5 } }, { replica: 'paris' }],
        decision: { kind: 'value' },
      },
    ])
    const shown = await run('conflicts', 'show', conflicts[0].id)
    expect(shown.out).toMatch(
      /"soup" of "dish"[\s\S]*berlin 1 \(.*\) {2}\{"price":5\}[\s\S]*decision {2}\{"price":\d\}\n$/,
    )
    expect((await run('conflicts', 'show', 'other')).code).toBe(1)
    expect((await run('conflicts', 'list', '--limit', '0')).code).toBe(64)
  })
})
