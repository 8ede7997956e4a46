import { directBroker, type Message } from 'holdfast/broker'
import { describe, expect, it } from 'vitest'

const message = (id: string): Message => ({
  id,
  topic: 't',
  key: id[0] === '-' ? null : (id[0] ?? null),
  payload: '1',
  headers: {},
  publishedAtMs: 0,
})
const { signal } = new AbortController()

/** Publishes `'a1 b1 a2'` (the first letter is the key) and gives the kinds of the results, in short. */
async function publish(text: string, handle: (id: string) => unknown, concurrency?: number): Promise<string> {
  const broker = directBroker({ handle: ({ id }) => handle(id), ...(concurrency && { concurrency }) })
  const results = await broker.publish(text.split(' ').map(message), { signal })
  return results.map((r) => r.kind[0]).join('')
}

describe('directBroker', () => {
  it.each([
    [
      'synchronous',
      (fails: boolean) => {
        if (fails) throw new Error('no')
      },
    ],
    [
      'asynchronous',
      async (fails: boolean) => {
        await new Promise(setImmediate)
        if (fails) throw new Error('no')
      },
    ],
  ])('stops a key at its first failure, with a handler that is %s', async (_title, act) => {
    const tried: string[] = []
    const kinds = await publish('a1 b1 a2 -1 a3 b2 -2', (id) => {
      tried.push(id)
      return act(id === 'a2' || id === '-1')
    })
    expect(kinds).toBe('ssrruss')
    expect(tried).not.toContain('a3')
  })

  it('opens no more than `concurrency` calls, one per key', async () => {
    let open = 0
    let most = 0
    const kinds = await publish(
      'a1 b1 c1 d1 a2 b2 c2 d2',
      async () => {
        most = Math.max(most, ++open)
        await new Promise(setImmediate)
        open--
      },
      2,
    )
    expect(kinds).toBe('ssssssss')
    expect(most).toBe(2)
  })

  it('rejects at once when the signal fires, also while a handler hangs', async () => {
    const aborter = new AbortController()
    const broker = directBroker({ handle: () => new Promise(() => {}) })
    const publishing = broker.publish([message('a1')], { signal: aborter.signal })
    aborter.abort(new Error('stop'))
    await expect(publishing).rejects.toThrow('stop')
  })
})
