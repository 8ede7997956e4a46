import { fencingHeader } from 'holdfast/fence'
import { redisGuard } from 'holdfast/redis'
import { describe, expect, it } from 'vitest'
import { fence } from '../../src/fence/index.ts'

const lock = { mode: 'exclusive', name: 'invoice:42', token: 7n, holder: 'host:1/3' } as const

/** None of the three gets as far as a store, Redis or a header. */
const tx = { query: unreached, store: {} }
const client = { eval: unreached, evalsha: unreached }
const GUARDS = {
  fence: (given: unknown) => fence(tx as never, given as never),
  redisGuard: (given: unknown) => redisGuard(client as never).set(given as never, 'key', 'value'),
  fencingHeader: async (given: unknown) => fencingHeader(given as never),
}

function unreached(): never {
  throw new Error('it was asked')
}

describe.each(Object.entries(GUARDS))('%s', (_name, show) => {
  it.each([
    [{ ...lock, mode: 'shared' }],
    [{ ...lock, mode: 'semaphore' }],
    [{ ...lock, token: -1n }],
    [{ ...lock, token: 2n ** 63n }],
    [{ ...lock, token: 7 }],
    [{ ...lock, holder: '' }],
    [{ ...lock, name: 'a\0b' }],
    [undefined],
    [null],
  ])('refuses what orders nothing: case %#', async (given) => {
    await expect(show(given)).rejects.toMatchObject({ code: 'CONFIG_INVALID', outcome: 'not-applied' })
  })
})

it('a lock of the right kind has its header', () => {
  expect(fencingHeader(lock)['Fencing-Token']).toBe('7; name="invoice%3A42"; holder="host%3A1%2F3"')
})
