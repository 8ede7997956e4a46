import { createInbox } from 'holdfast/inbox'
import { acquireLease, releaseLease } from 'holdfast/lease'
import { testMessage } from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { store as standIn } from '../arguments/stand-ins.ts'
import { applied, apply, stores } from './stores.ts'

describe.each(stores)('inbox.handle on $name', ({ open }) => {
  it('runs the work once for all copies of a message', async () => {
    await using opened = await open()
    const { store } = opened
    const inbox = createInbox(store)
    const message = testMessage({ id: 'm1', topic: 'paid', payload: { amount: 5 } })
    const handle = () =>
      store.transaction((tx) =>
        inbox.handle(
          tx,
          message,
          async ({ payload }) => {
            await tx.execute(apply('m1', JSON.stringify(payload)))
            return 'done'
          },
          { group: 'ledger' },
        ),
      )
    expect(await handle()).toEqual({ kind: 'handled', result: 'done' })
    expect(await handle()).toEqual({ kind: 'duplicate' })
    expect(await applied(store)).toEqual(['{"amount":5}'])
  })

  it('runs the work once when copies are handled at the same time', async () => {
    await using opened = await open()
    const { store } = opened
    const inbox = createInbox(store)
    const message = testMessage({ id: 'm1', topic: 'paid' })
    const kinds = await Promise.all(
      Array.from({ length: 8 }, () =>
        store.transaction(async (tx) => {
          const { kind } = await inbox.handle(tx, message, () => tx.execute(apply('m1', 'x')), {
            group: 'ledger',
          })
          return kind
        }),
      ),
    )
    expect(kinds.filter((kind) => kind === 'handled')).toHaveLength(1)
    expect(await applied(store)).toEqual(['x'])
  })

  it('handles a message again after a rollback', async () => {
    await using opened = await open()
    const { store } = opened
    const inbox = createInbox(store)
    const message = testMessage({ id: 'm1', topic: 'paid' })
    await expect(
      store.transaction((tx) =>
        inbox.handle(
          tx,
          message,
          async () => {
            await tx.execute(apply('m1', 'lost'))
            throw new Error('no')
          },
          { group: 'ledger' },
        ),
      ),
    ).rejects.toThrow('no')
    const again = await store.transaction((tx) =>
      inbox.handle(tx, message, () => tx.execute(apply('m1', 'kept')), { group: 'ledger' }),
    )
    expect(again.kind).toBe('handled')
    expect(await applied(store)).toEqual(['kept'])
  })

  it('keeps groups apart, and topics that use the same id', async () => {
    await using opened = await open()
    const { store } = opened
    const inbox = createInbox(store)
    const kinds: string[] = []
    for (const [topic, group] of [
      ['order.placed', 'ledger'],
      ['order.placed', 'mailer'],
      ['order.paid', 'ledger'],
      ['order.paid', 'ledger'],
    ] as const) {
      const message = testMessage({ id: 'order-1', topic })
      const { kind } = await store.transaction((tx) => inbox.handle(tx, message, async () => {}, { group }))
      kinds.push(kind)
    }
    expect(kinds).toEqual(['handled', 'handled', 'handled', 'duplicate'])
  })

  it('handles for the group default where none is named', async () => {
    await using opened = await open()
    const { store } = opened
    const inbox = createInbox(store)
    const message = testMessage({ id: 'order-1' })
    const handle = (...options: [] | [{ group: string }]) =>
      store.transaction(async (tx) => (await inbox.handle(tx, message, async () => {}, ...options)).kind)
    expect([await handle(), await handle(), await handle({ group: 'default' })]).toEqual([
      'handled',
      'duplicate',
      'duplicate',
    ])
  })

  it('gives the output of the schema, and names the field that does not fit', async () => {
    await using opened = await open()
    const { store } = opened
    const inbox = createInbox(store, {
      topics: { paid: { schema: z.object({ amount: z.number(), currency: z.string().default('EUR') }) } },
    })
    const handle = (payload: unknown) =>
      store.transaction((tx) =>
        inbox.handle(
          tx,
          testMessage({ topic: 'paid', payload }) as ReturnType<typeof testMessage> & { topic: 'paid' },
          async (message) => `${message.payload.amount} ${message.payload.currency}`,
          { group: 'ledger' },
        ),
      )
    expect(await handle({ amount: 5 })).toEqual({ kind: 'handled', result: '5 EUR' })
    await expect(handle({ amount: 'secret' })).rejects.toMatchObject({
      code: 'MESSAGE_INVALID',
      outcome: 'not-applied',
      message: expect.stringContaining('$.amount'),
    })
    await expect(handle({ amount: 'secret' })).rejects.not.toMatchObject({
      message: expect.stringContaining('secret'),
    })
  })

  it('refuses a payload that is no JSON or too long', async () => {
    await using opened = await open()
    const { store } = opened
    const inbox = createInbox(store, { payloadLimitBytes: 100 })
    const handle = (payload: string) =>
      store.transaction((tx) =>
        inbox.handle(tx, { ...testMessage({ topic: 'paid' }), payload }, async () => {}, { group: 'ledger' }),
      )
    await expect(handle('{"a":')).rejects.toMatchObject({ code: 'MESSAGE_INVALID' })
    await expect(handle(JSON.stringify('x'.repeat(100)))).rejects.toMatchObject({ code: 'MESSAGE_INVALID' })
    await expect(handle({ parsed: true } as never)).rejects.toThrow('must be JSON text, got object')
  })

  it('refuses a holder whose lease has passed on, before the work begins', async () => {
    await using opened = await open()
    const { store } = opened
    const inbox = createInbox(store)
    const first = await acquireLease(store, { scope: 's', name: '0', owner: 'a', ttlMs: 60_000 })
    if (first === undefined) throw new Error('the lease is free')
    await releaseLease(store, first)
    const second = await acquireLease(store, { scope: 's', name: '0', owner: 'b', ttlMs: 60_000 })
    expect(second?.epoch).toBe(first.epoch + 1n)
    await expect(
      store.transaction((tx) =>
        inbox.handle(tx, testMessage({ topic: 'paid' }), () => tx.execute(apply('m', 'zombie')), {
          group: 'ledger',
          lease: first,
        }),
      ),
    ).rejects.toMatchObject({ code: 'STALE_EPOCH' })
    expect(await applied(store)).toEqual([])
  })

  it.each([
    [{ group: '' }, 'group'],
    [{ group: 'a\0b' }, 'NUL'],
    [{ group: 'g', lane: 1 }, 'lane'],
  ])('refuses the options %j', async (options, text) => {
    await using opened = await open()
    const { store } = opened
    const handled = store.transaction(async (tx) =>
      createInbox(store).handle(tx, testMessage(), async () => {}, options as { group: string }),
    )
    await expect(handled).rejects.toThrow(text)
  })
})

describe('createInbox', () => {
  it.each([
    [{ windowMs: -1 }, 'windowMs'],
    [{ payloadLimitBytes: 0 }, 'payloadLimitBytes'],
    [{ topics: { t: { onPoison: 'wait' } } }, 'onPoison'],
    [{ topics: { t: { schema: {} } } }, 'schema'],
    [{ topics: { t: { colour: 1 } } }, 'colour'],
    [{ window: 1 }, 'window'],
  ])('refuses the options %j', (options, text) => {
    expect(() => createInbox(standIn, options as never)).toThrow(text)
  })
})
