import { fence } from '../../fence/index.ts'
import { type Store, sql } from '../../store/index.ts'
import { codeOf } from '../code-of.ts'
import type { TestKit } from '../test-kit.ts'
import type { BaseUnderTest } from './scene.ts'

export function describeFence({ describe, it, expect }: TestKit, scene: BaseUnderTest): void {
  describe('fence', () => {
    const present = (at: Store, token: bigint, holder = 'a', resource = 'account/1') =>
      at.transaction((tx) => fence(tx, { resource, token, holder }))

    it('accepts tokens that do not decrease, and refuses lower ones', async () => {
      await present(scene.store, 5n)
      await present(scene.store, 5n)
      await present(scene.other, 7n, 'b')
      const error = await present(scene.store, 6n).catch((e) => e)
      expect(error).toMatchObject({
        code: 'STALE_FENCE',
        outcome: 'not-applied',
        resource: 'account/1',
        presented: 6n,
        current: 7n,
      })
      await present(scene.store, 1n, 'a', 'account/2')
    })

    it('refuses an equal token from another holder', async () => {
      await present(scene.store, 5n, 'a')
      expect(await codeOf(present(scene.other, 5n, 'b'))).toBe('STALE_FENCE')
      await present(scene.store, 5n, 'a')
    })

    it('a token that was presented and rolled back binds nobody', async () => {
      const failed = scene.store.transaction(async (tx) => {
        await fence(tx, { resource: 'account/1', token: 9n, holder: 'a' })
        throw new Error('undo')
      })
      await failed.catch(() => {})
      await present(scene.other, 3n, 'b')
    })

    it('tells neighbours above 2^53 apart', async () => {
      await present(scene.store, 2n ** 53n + 1n)
      expect(await codeOf(present(scene.store, 2n ** 53n))).toBe('STALE_FENCE')
      await present(scene.store, 2n ** 63n - 1n)
      expect(await codeOf(present(scene.store, 2n ** 63n))).toBe('CONFIG_INVALID')
      expect(await codeOf(present(scene.store, -1n))).toBe('CONFIG_INVALID')
    })

    it('stays locked until COMMIT: a zombie cannot commit beside its successor', async () => {
      await present(scene.store, 1n)
      let stale: Promise<unknown> | undefined
      const order: string[] = []
      await scene.store.transaction(async (tx) => {
        await fence(tx, { resource: 'account/1', token: 2n, holder: 'b' })
        stale = codeOf(present(scene.other, 1n)).finally(() => order.push('refused'))
        await scene.store.clock.sleep(100) // long enough for one that does not wait
        order.push('committing')
      })
      expect(await stale).toBe('STALE_FENCE')
      expect(order).toEqual(['committing', 'refused'])
    })

    it('in a race the accepted tokens never decrease', async () => {
      await scene.store.execute('create table accepted (seq integer primary key, token bigint not null)')
      let seq = 0
      const write = (at: Store, token: bigint) =>
        at.transaction(async (tx) => {
          await fence(tx, { resource: 'account/1', token, holder: `h${token}` })
          await tx.execute(sql`insert into accepted (seq, token) values (${++seq}, ${token})`)
        })
      const tokens = Array.from({ length: 40 }, (_, i) => BigInt((i * 17) % 40))
      await Promise.allSettled(tokens.map((token, i) => write(i % 2 ? scene.store : scene.other, token)))
      const rows = await scene.store.query<{ token: unknown }>('select token from accepted order by seq')
      const accepted = rows.map((row) => Number(row.token))
      expect(accepted).toEqual([...accepted].sort((a, b) => a - b))
      expect(accepted.at(-1)).toBe(39)
    })
  })
}
