import { DeadlockError, type OwnTransaction, type Store, StoreBusyError, sql } from '../../store/index.ts'
import { codeOf } from '../code-of.ts'
import type { TestKit } from '../test-kit.ts'
import { put, type StoreScene } from './scene.ts'

export function describeRetries({ describe, it, expect }: TestKit, scene: StoreScene): void {
  const ids = (): Promise<string[]> => scene.ids()

  describe('retries', () => {
    it('what the database calls retriable runs again, with the attempt number, and commits once', async () => {
      const attempts: number[] = []
      await scene.store.transaction(async (tx, attempt) => {
        attempts.push(attempt)
        expect(tx.attempt).toBe(attempt)
        await put(tx, 'a')
        if (attempt === 1) throw new DeadlockError({})
        if (attempt === 2) throw new Error('wrapped', { cause: new StoreBusyError('busy') })
      })
      expect(attempts).toEqual([1, 2, 3])
      expect(await ids()).toEqual(['a'])
    })

    it('retries are bounded, and the last error comes out', async () => {
      let runs = 0
      const failed = scene.store.transaction(
        async () => {
          runs++
          throw new DeadlockError({})
        },
        { retries: 2 },
      )
      expect(await codeOf(failed)).toBe('DEADLOCK')
      expect(runs).toBe(3)
    })

    it('nothing else runs again', async () => {
      let runs = 0
      await put(scene.store, 'a')
      for (const fail of [
        () => Promise.reject(new Error('mine')),
        (tx: OwnTransaction) => put(tx, 'a'),
        (tx: OwnTransaction) => tx.query('selec'),
      ]) {
        await scene.store
          .transaction(async (tx) => {
            runs++
            await fail(tx)
          })
          .catch(() => {})
      }
      expect(runs).toBe(3)
    })

    it('concurrent read-modify-writes under serializable lose no update', async () => {
      await put(scene.store, 'a', 0)
      const add = (through: Store): Promise<unknown> =>
        through.transaction(
          async (tx) => {
            const [row] = await tx.query<{ amount: unknown }>(sql`select amount from item where id = ${'a'}`)
            await tx.execute(sql`update item set amount = ${Number(row?.amount) + 1} where id = ${'a'}`)
          },
          { isolation: 'serializable', retries: 100 },
        )
      await Promise.all(Array.from({ length: 12 }, (_, i) => add(i % 2 ? scene.store : scene.other)))
      const [row] = await scene.store.query<{ amount: unknown }>('select amount from item')
      expect(Number(row?.amount)).toBe(12)
    })
  })
}
