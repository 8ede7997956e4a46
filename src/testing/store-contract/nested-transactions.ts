import { codeOf } from '../code-of.ts'
import type { TestKit } from '../test-kit.ts'
import { put, type StoreScene } from './scene.ts'

export function describeNestedTransactions({ describe, it, expect }: TestKit, scene: StoreScene): void {
  const ids = (): Promise<string[]> => scene.ids()

  describe('nested transactions', () => {
    it('what an inner one did vanishes when it throws, and the outer one goes on', async () => {
      await scene.store.transaction(async (tx) => {
        await put(tx, 'before')
        await tx
          .transaction(async (inner) => {
            await put(inner, 'inner')
            throw new Error('undo')
          })
          .catch(() => {})
        await put(tx, 'after')
      })
      expect(await ids()).toEqual(['after', 'before'])
    })

    it('a failed statement in an inner one does not spoil the outer one', async () => {
      await scene.store.transaction(async (tx) => {
        await put(tx, 'a')
        await tx.transaction((inner) => put(inner, 'a')).catch(() => {})
        await put(tx, 'b')
      })
      expect(await ids()).toEqual(['a', 'b'])
    })

    it('an inner one that swallows the error of a statement may fail, but does not spoil the outer one', async () => {
      let inside: unknown
      await scene.store.transaction(async (tx) => {
        await put(tx, 'a')
        inside = await codeOf(tx.transaction((inner) => put(inner, 'a').catch(() => {})))
        await put(tx, 'b')
      })
      expect(['fulfilled', 'TRANSACTION_ABORTED']).toContain(inside)
      expect(await ids()).toEqual(['a', 'b'])
    })

    it('an inner one that goes on after the whole was ended writes nothing', async () => {
      const abort = new AbortController()
      let end: unknown
      const failed = scene.store.transaction(
        (tx) =>
          tx.transaction(async (inner) => {
            await put(inner, 'first')
            abort.abort(new Error('enough'))
            for (let i = 0; end === undefined; i++) {
              await put(inner, `late${i}`).catch((error) => {
                // One that was under way is stopped at the server; it is those after it that are refused.
                if (error.code !== 'TRANSACTION_TIMEOUT') end = error.code
              })
            }
          }),
        { signal: abort.signal },
      )
      expect(await codeOf(failed)).toBe(abort.signal.reason)
      expect(end).toBe('TRANSACTION_STATE')
      expect(await ids()).toEqual([])
    })

    it('they nest: the middle one takes the innermost with it', async () => {
      await scene.store.transaction(async (tx) => {
        await tx
          .transaction(async (middle) => {
            await middle.transaction((inner) => put(inner, 'inner'))
            await put(middle, 'middle')
            throw new Error('undo')
          })
          .catch(() => {})
        await tx.transaction((inner) => put(inner, 'kept'))
      })
      expect(await ids()).toEqual(['kept'])
    })

    it('hooks and queued flushes of an undone inner one vanish; those of a fulfilled one stay', async () => {
      const hooks: string[] = []
      const flushed: string[][] = []
      const flush = async (_tx: unknown, items: readonly string[]): Promise<void> =>
        void flushed.push([...items])
      await scene.store.transaction(async (tx) => {
        tx.afterCommit(() => void hooks.push('outer'))
        tx.beforeCommit(flush, 'outer')
        await tx
          .transaction(async (inner) => {
            inner.afterCommit(() => void hooks.push('undone'))
            inner.beforeCommit(flush, 'undone')
            await inner.transaction(async (deep) => deep.beforeCommit(flush, 'undone too'))
            throw new Error('undo')
          })
          .catch(() => {})
        await tx.transaction(async (inner) => {
          inner.afterCommit(() => void hooks.push('inner'))
          inner.beforeCommit(flush, 'inner')
        })
        expect([hooks, flushed]).toEqual([[], []])
      })
      expect(hooks).toEqual(['outer', 'inner'])
      expect(flushed).toEqual([['outer', 'inner']])
    })

    it('the outer tx is refused while an inner one is open', async () => {
      await scene.store.transaction(async (tx) => {
        await tx.transaction(async (inner) => {
          expect(await codeOf(put(tx, 'outer'))).toBe('TRANSACTION_STATE')
          expect(await codeOf(tx.transaction(async () => {}))).toBe('TRANSACTION_STATE')
          await put(inner, 'inner')
        })
      })
      expect(await ids()).toEqual(['inner'])
    })

    it('an inner tx is refused once it is over', async () => {
      await scene.store.transaction(async (tx) => {
        const leaked = await tx.transaction(async (inner) => inner)
        expect(await codeOf(put(leaked, 'late'))).toBe('TRANSACTION_STATE')
      })
      expect(await ids()).toEqual([])
    })

    it('an inner one that nobody awaited fails the transaction', async () => {
      const failed = scene.store.transaction(async (tx) => {
        void tx.transaction(() => new Promise(() => {})).catch(() => {})
      })
      expect(await codeOf(failed)).toBe('TRANSACTION_STATE')
    })
  })
}
