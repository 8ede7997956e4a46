import { storeQueue } from 'holdfast/store-queue'
import { isStopped, testMessage } from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import { startFixture } from '../support/process.ts'
import { until } from '../support/wait.ts'
import { applied, stores } from './stores.ts'

const FILE = new URL('./zombie-process.ts', import.meta.url)

interface Line {
  readonly name: string
  readonly level?: string
  readonly message?: string
  readonly code?: string
  readonly handled?: number
  readonly duplicates?: number
}

/** On SQLite only the first: a process stopped after its first write holds the file until it is killed. */
const cases = [
  ['sqlite', 'inbox.handle.begun'],
  ['postgres', 'inbox.handle.begun'],
  ['postgres', 'inbox.handle.recorded'],
  ['postgres', 'inbox.handle.worked'],
] as const

describe('a consumer that is stopped in the middle of a message, past its lease', () => {
  it.each(cases)('on %s, at %s, cannot commit once its successor has handled it', async (kind, stopAt) => {
    const { open } = stores.find((store) => store.name === kind) as (typeof stores)[number]
    await using opened = await open()
    const { store, at } = opened
    await using queue = storeQueue(store, { partitions: 1 })
    await queue.declare({ topic: 'paid', group: 'ledger' })
    await queue.publish([testMessage({ id: 'm1', topic: 'paid', key: 'k' })], {
      signal: AbortSignal.timeout(5_000),
    })

    const zombie = startFixture<Line>(FILE, { args: [JSON.stringify({ kind, at, name: 'zombie', stopAt })] })
    await until(() => isStopped(zombie.pid), { deadlineMs: 15_000, everyMs: 50, what: 'the zombie to stop' })
    expect(await applied(store)).toEqual([])

    const successor = startFixture<Line>(FILE, { args: [JSON.stringify({ kind, at, name: 'successor' })] })
    await until(async () => (await applied(store)).length > 0, {
      deadlineMs: 15_000,
      what: 'the successor to handle it',
    })
    expect(await applied(store)).toEqual(['successor'])

    zombie.thaw()
    await zombie.line((line) => line.message === 'lease is over', { what: 'the zombie to notice' })
    zombie.send('stop')
    const end = await zombie.line((line) => line.handled !== undefined, { what: 'the zombie to end' })
    expect(end.handled).toBe(0)
    expect(await applied(store)).toEqual(['successor'])
    successor.send('stop')
    await successor.exited
    expect(await applied(store)).toEqual(['successor'])
  })
})

describe('a message that kills its process', () => {
  it.each(['sqlite', 'postgres'] as const)(
    'on %s, becomes a dead letter after attemptsMax, and only it',
    async (kind) => {
      const { open } = stores.find((store) => store.name === kind) as (typeof stores)[number]
      await using opened = await open()
      const { store, at } = opened
      await using queue = storeQueue(store, { partitions: 1 })
      await queue.declare({ topic: 'paid', group: 'ledger' })
      const messages = Array.from({ length: 12 }, (_, i) =>
        testMessage({ id: `m${i}`, topic: 'paid', key: `k${i}` }),
      )
      await queue.publish(messages, { signal: AbortSignal.timeout(5_000) })
      const deadly = new URL('./deadly-process.ts', import.meta.url)
      let crashes = 0
      for (;;) {
        const child = startFixture<{ done: boolean }>(deadly, { args: [JSON.stringify({ kind, at })] })
        const { signal } = await child.exited
        if (signal === null) {
          expect(child.lines, child.stderr()).toEqual([{ done: true }])
          break
        }
        expect(signal).toBe('SIGKILL')
        crashes += 1
        expect(crashes).toBeLessThan(10)
      }
      expect(crashes).toBe(4) // the first delivery, which is not counted, and attemptsMax = 3
      expect(await store.query('select message_id, attempts from holdfast_dead_letter')).toEqual([
        { message_id: 'm5', attempts: 3 },
      ])
      expect((await applied(store)).sort()).toEqual(
        messages
          .map((m) => m.id)
          .filter((id) => id !== 'm5')
          .sort(),
      )
    },
  )
})
