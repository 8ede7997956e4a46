import { DeadlockError, type Store } from '../../store/index.ts'
import { codeOf } from '../code-of.ts'
import type { TestKit } from '../test-kit.ts'
import { put, type StoreScene } from './scene.ts'

export function describeHooks({ describe, it, expect }: TestKit, scene: StoreScene): void {
  const ids = (): Promise<string[]> => scene.ids()

  describe('hooks', () => {
    it('afterCommit runs in order, after the commit is visible to others', async () => {
      const seen: unknown[] = []
      await scene.store.transaction(async (tx) => {
        tx.afterCommit(async () => void seen.push(await ids()))
        tx.afterCommit(() => void seen.push('second'))
        await put(tx, 'a')
      })
      expect(seen).toEqual([['a'], 'second'])
    })

    it('afterCommit does not run after a rollback, nor for an attempt that was retried', async () => {
      const seen: number[] = []
      await scene.store.transaction(async (tx, attempt) => {
        tx.afterCommit(() => void seen.push(attempt))
        if (attempt === 1) throw new DeadlockError({})
      })
      await scene.store
        .transaction(async (tx) => {
          tx.afterCommit(() => void seen.push(99))
          throw new Error('undo')
        })
        .catch(() => {})
      expect(seen).toEqual([2])
    })

    it('a hook that throws neither undoes nor hides the commit, and the other hooks run', async () => {
      let ran = false
      const error = await scene.store
        .transaction(async (tx) => {
          tx.afterCommit(() => {
            throw new Error('hook')
          })
          tx.afterCommit(() => {
            ran = true
          })
          await put(tx, 'a')
          return 7
        })
        .catch((e) => e)
      expect(error).toMatchObject({ code: 'AFTER_COMMIT_FAILED', outcome: 'applied', result: 7 })
      expect(ran).toBe(true)
      expect(await ids()).toEqual(['a'])
    })

    it('a flush runs once with all its items, inside the transaction, and its failure rolls back', async () => {
      const flush = async (tx: Pick<Store, 'execute'>, items: readonly string[]): Promise<void> => {
        for (const id of items) await put(tx, id)
      }
      await scene.store.transaction(async (tx) => {
        tx.beforeCommit(flush, 'a')
        tx.beforeCommit(flush, 'b')
      })
      expect(await ids()).toEqual(['a', 'b'])
      const failed = scene.store.transaction(async (tx) => {
        await put(tx, 'c')
        tx.beforeCommit(flush, 'a')
      })
      expect(await codeOf(failed)).toBe('CONSTRAINT_VIOLATED')
      expect(await ids()).toEqual(['a', 'b'])
    })
  })
}
