import { DeadlockError, type Isolation } from '../../store/index.ts'
import { codeOf } from '../code-of.ts'
import type { TestKit } from '../test-kit.ts'
import { put, type StoreScene } from './scene.ts'

export function describeBoundsAndAborts({ describe, it, expect }: TestKit, scene: StoreScene): void {
  const ids = (): Promise<string[]> => scene.ids()

  describe('bounds and aborts', () => {
    it('a transaction that takes too long is rolled back, and the store works on', async () => {
      const failed = scene.store.transaction(
        async (tx) => {
          await put(tx, 'a')
          await new Promise((resolve) => tx.signal.addEventListener('abort', resolve))
        },
        { timeoutMs: 50 },
      )
      expect(await failed.catch((e) => e)).toMatchObject({
        code: 'TRANSACTION_TIMEOUT',
        outcome: 'not-applied',
        timeoutMs: 50,
      })
      await put(scene.store, 'b')
      expect(await ids()).toEqual(['b'])
    })

    it('an abort before the start passes its reason on and runs nothing', async () => {
      const reason = new Error('stop')
      let ran = false
      const work = async (): Promise<void> => {
        ran = true
      }
      const failed = scene.store.transaction(work, { signal: AbortSignal.abort(reason) })
      expect(await codeOf(failed)).toBe(reason)
      expect(ran).toBe(false)
    })

    it('an abort during the work passes its reason on, rolls back, and fires tx.signal', async () => {
      const reason = new Error('stop')
      const abort = new AbortController()
      let seen: unknown
      const failed = scene.store.transaction(
        async (tx) => {
          await put(tx, 'a')
          tx.signal.addEventListener('abort', () => {
            seen = tx.signal.reason
          })
          abort.abort(reason)
          await new Promise(() => {})
        },
        { signal: abort.signal },
      )
      expect(await codeOf(failed)).toBe(reason)
      expect(seen).toBe(reason)
      expect(await ids()).toEqual([])
    })

    it('an abort ends the wait between two attempts', async () => {
      const reason = new Error('stop')
      const abort = new AbortController()
      let runs = 0
      const failed = scene.store.transaction(
        async () => {
          if (++runs === 2) queueMicrotask(() => abort.abort(reason))
          throw new DeadlockError({})
        },
        { signal: abort.signal, retries: 1000 },
      )
      expect([reason, 'DEADLOCK']).toContain(await codeOf(failed))
      expect(runs).toBeLessThan(4)
    })

    it('one signal may serve many transactions at once', async () => {
      const { signal } = new AbortController()
      const warnings: unknown[] = []
      const listen = (warning: unknown): void => void warnings.push(warning)
      process.on('warning', listen)
      await Promise.all(
        Array.from({ length: 30 }, (_, i) => scene.store.transaction((tx) => put(tx, `${i}`), { signal })),
      )
      await new Promise(setImmediate)
      process.off('warning', listen)
      expect(warnings).toEqual([])
    })

    it('options that cannot work are refused, all problems at once', async () => {
      const options = { timeoutMs: -1, retries: 1.5, isolation: 'chaos' as Isolation, timeout: 5 }
      const error = await scene.store.transaction(async () => {}, options).catch((e) => e)
      expect(error).toMatchObject({ code: 'CONFIG_INVALID', outcome: 'not-applied' })
      expect(error.problems).toHaveLength(4)
      const both = scene.store.transaction(async () => {}, { readOnly: true, witness: true })
      expect(await codeOf(both)).toBe('CONFIG_INVALID')
    })
  })
}
