import { once, pruneEffects, recordEffect, recordEffects, storeEffectResult } from '../../effects/index.ts'
import { type Lease, renewLeases } from '../../lease/index.ts'
import { type OwnTransaction, type Store, sql } from '../../store/index.ts'
import { codeOf } from '../code-of.ts'
import type { TestKit } from '../test-kit.ts'
import { acquire, type BaseUnderTest, pass } from './scene.ts'

export function describeEffects({ describe, it, expect }: TestKit, scene: BaseUnderTest): void {
  describe('effects', () => {
    const key = { scope: 'inbox/pay', id: 'm1' }
    const record = (at: Store, options: Parameters<typeof recordEffect>[1]) =>
      at.transaction((tx) => recordEffect(tx, options))
    const stored = async (): Promise<string[]> =>
      (
        await scene.other.query<{ id: string }>(
          sql`select id from ${scene.store.table('effect')} order by id`,
        )
      ).map((row) => row.id)

    it('the first time is the first, later ones are told what was stored', async () => {
      await scene.store.transaction(async (tx) => {
        expect(await recordEffect(tx, key)).toEqual({ kind: 'first' })
        await storeEffectResult(tx, key, '{"a":1}')
      })
      expect(await record(scene.other, key)).toEqual({ kind: 'repeated', result: '{"a":1}', epoch: 0n })
      expect(await record(scene.other, { ...key, phase: 'undo' })).toEqual({ kind: 'first' })
      expect(await record(scene.other, { ...key, scope: 'inbox/ship' })).toEqual({ kind: 'first' })
    })

    it('within one transaction the second time is a repetition too', async () => {
      await scene.store.transaction(async (tx) => {
        await recordEffect(tx, key)
        expect(await recordEffect(tx, key)).toMatchObject({ kind: 'repeated' })
      })
    })

    it('a rollback makes it free again', async () => {
      const failed = scene.store.transaction(async (tx) => {
        await recordEffect(tx, key)
        throw new Error('undo')
      })
      await failed.catch(() => {})
      expect(await record(scene.other, key)).toEqual({ kind: 'first' })
    })

    it('of many that record it at once exactly one is the first, in 40 rounds', async () => {
      for (let round = 1; round <= 40; round++) {
        const answers = await Promise.all(
          [scene.store, scene.other, scene.store, scene.other].map((at) =>
            record(at, { ...key, id: `r${round}` }),
          ),
        )
        expect(answers.filter((answer) => answer.kind === 'first')).toHaveLength(1)
      }
    })

    it('a batch says which were the first, and gives what is stored for the others', async () => {
      await scene.store.transaction(async (tx) => {
        await recordEffect(tx, { ...key, id: 'b' })
        await storeEffectResult(tx, { ...key, id: 'b' }, '7')
      })
      const batch = await scene.store.transaction((tx) =>
        recordEffects(tx, { scope: key.scope, ids: ['c', 'b', 'a'] }),
      )
      expect([...batch.first].sort()).toEqual(['a', 'c'])
      expect([...batch.repeated]).toEqual([['b', { result: '7', epoch: 0n }]])
      expect(
        await scene.store.transaction((tx) => recordEffects(tx, { scope: key.scope, ids: [] })),
      ).toMatchObject({ first: new Set() })
      const twice = scene.store.transaction((tx) => recordEffects(tx, { scope: key.scope, ids: ['d', 'd'] }))
      expect(await codeOf(twice)).toBe('CONFIG_INVALID')
    })

    it('batches that overlap in opposite orders neither deadlock nor both win', async () => {
      for (let round = 1; round <= 20; round++) {
        const ids = Array.from({ length: 8 }, (_, i) => `${round}-${i}`)
        const run = (at: Store, list: string[]) =>
          at.transaction((tx) => recordEffects(tx, { scope: 'batch', ids: list }), { retries: 0 })
        const [one, two] = await Promise.all([run(scene.store, ids), run(scene.other, [...ids].reverse())])
        expect(one.first.size + two.first.size).toBe(8)
      }
    })

    it('under a lease it is recorded while the lease has that epoch, ended or not', async () => {
      const lease = (await acquire(scene.store, 'a')) as Lease
      expect(await record(scene.store, { ...key, lease })).toEqual({ kind: 'first' })
      expect(await record(scene.other, { ...key, lease })).toEqual({
        kind: 'repeated',
        result: null,
        epoch: 1n,
      })
      await pass(scene.store, 60_001)
      expect(await record(scene.store, { ...key, id: 'm2', lease })).toEqual({ kind: 'first' })
    })

    it('after a take-over the old epoch is refused, and nothing is stored', async () => {
      const lease = (await acquire(scene.store, 'a')) as Lease
      await record(scene.store, { ...key, id: 'done', lease })
      await pass(scene.store, 60_001)
      const next = (await acquire(scene.other, 'b')) as Lease
      for (const id of ['done', 'new']) {
        const error = await record(scene.store, { ...key, id, lease }).catch((e) => e)
        expect(error).toMatchObject({
          code: 'STALE_EPOCH',
          outcome: 'not-applied',
          presented: 1n,
          current: 2n,
        })
      }
      const batch = (ids: string[]) =>
        scene.store.transaction((tx) => recordEffects(tx, { scope: key.scope, ids, lease }))
      expect(await codeOf(batch(['new', 'newer']))).toBe('STALE_EPOCH')
      expect(await codeOf(batch(['done']))).toBe('STALE_EPOCH')
      expect(await stored()).toEqual(['done'])
      expect(await record(scene.other, { ...key, id: 'done', lease: next })).toMatchObject({
        kind: 'repeated',
      })
      expect(await record(scene.other, { ...key, id: 'new', lease: next })).toEqual({ kind: 'first' })
    })

    it('a lease that does not exist is refused', async () => {
      const error = await record(scene.store, {
        ...key,
        lease: { scope: 's', name: 'none', epoch: 1n },
      }).catch((e) => e)
      expect(error).toMatchObject({ code: 'STALE_EPOCH', current: undefined })
      expect(await stored()).toEqual([])
    })

    it('a take-over waits for a transaction that recorded an effect, and renewals do not', async () => {
      const lease = (await acquire(scene.store, 'a')) as Lease
      let takeOver: Promise<Lease | undefined> | undefined
      const order: string[] = []
      await scene.store.transaction(async (tx) => {
        await recordEffect(tx, { ...key, lease })
        if (!scene.store.dialect.singleWriter) {
          expect(await renewLeases(scene.other, { scope: 's', owner: 'a', ttlMs: 60_000 })).toHaveLength(1)
          await scene.other.execute(sql`update ${scene.store.table('lease')} set until_ms = 1`)
        } else {
          await tx.execute(sql`update ${scene.store.table('lease')} set until_ms = 1`)
        }
        takeOver = acquire(scene.other, 'b').finally(() => order.push('taken over'))
        await scene.store.clock.sleep(100) // long enough for a take-over that does not wait
        order.push('committing')
      })
      expect(await takeOver).toMatchObject({ owner: 'b', epoch: 2n })
      expect(order).toEqual(['committing', 'taken over'])
    })

    it('an attempt with an older epoch than the recorded one is refused', async () => {
      await record(scene.store, { ...key, epoch: 2n ** 53n + 1n })
      expect(await codeOf(record(scene.other, { ...key, epoch: 2n ** 53n }))).toBe('STALE_EPOCH')
      expect(await record(scene.other, { ...key, epoch: 2n ** 53n + 1n })).toMatchObject({
        kind: 'repeated',
        epoch: 2n ** 53n + 1n,
      })
      expect(await record(scene.other, { ...key, epoch: 2n ** 62n })).toMatchObject({ kind: 'repeated' })
    })

    it('once runs the work one time and gives its result every time', async () => {
      let runs = 0
      const pay = (tx: OwnTransaction) =>
        once(tx, key, async () => ({ paid: ++runs, at: new Date(0), note: undefined }))
      const first = await scene.store.transaction(pay)
      const second = await scene.other.transaction(pay)
      expect(first).toEqual({ kind: 'first', result: { paid: 1, at: '1970-01-01T00:00:00.000Z' } })
      expect(second).toEqual({ ...first, kind: 'repeated' })
      const nothing = (tx: OwnTransaction) => once(tx, { ...key, id: 'void' }, async () => {})
      expect(await scene.store.transaction(nothing)).toEqual({ kind: 'first', result: null })
      expect(await scene.store.transaction(nothing)).toEqual({ kind: 'repeated', result: null })
    })

    it('once, failed and caught, leaves no effect to be committed', async () => {
      await scene.store.transaction(async (tx) => {
        const failed = once(tx, key, () => Promise.reject(new Error('no money')))
        await failed.catch(() => {})
      })
      const unfit = scene.store.transaction((tx) => once(tx, { ...key, id: 'unfit' }, async () => 1n))
      expect(await codeOf(unfit)).toBe('PAYLOAD_INVALID')
      expect(await stored()).toEqual([])
    })

    it('a result without an effect is refused', async () => {
      expect(await codeOf(scene.store.transaction((tx) => storeEffectResult(tx, key, '1')))).toBe(
        'CONFIG_INVALID',
      )
    })

    it('pruning removes what is older than the window, in batches, and nothing else', async () => {
      const ids = Array.from({ length: 25 }, (_, i) => `old${i}`)
      await scene.store.transaction((tx) => recordEffects(tx, { scope: key.scope, ids }))
      await scene.store.execute(
        sql`update ${scene.store.table('effect')} set recorded_at_ms = recorded_at_ms - 5000`,
      )
      await record(scene.store, { ...key, id: 'young' })
      await record(scene.store, { scope: 'else', id: 'old' })
      const prune = (batchesMax: number) =>
        pruneEffects(scene.other, { scope: key.scope, olderThanMs: 4_000, limit: 10, batchesMax })
      expect(await prune(1)).toBe(10)
      expect(await prune(10)).toBe(15)
      expect(await stored()).toEqual(['old', 'young'])
    })
  })
}
