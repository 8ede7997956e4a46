import { setFailpointHook } from '../../core/failpoint.ts'
import { type CommitUnknownError, pruneWitnesses, sql } from '../../store/index.ts'
import { codeOf } from '../code-of.ts'
import type { TestKit } from '../test-kit.ts'
import { put, type StoreScene } from './scene.ts'

export function describeUnknownCommits({ describe, it, expect }: TestKit, scene: StoreScene): void {
  const ids = (): Promise<string[]> => scene.ids()

  describe('unknown commits', () => {
    const failAt = (place: string): void =>
      setFailpointHook((at) => {
        if (at === place) throw new Error('cut')
      })

    it('a commit that got no answer is unknown; resolve finds that it happened', async () => {
      failAt('store.commit.after')
      const error = await scene.store
        .transaction((tx) => put(tx, 'a'), { witness: true })
        .catch((e) => e as CommitUnknownError)
      setFailpointHook(undefined)
      expect(error).toMatchObject({ code: 'COMMIT_UNKNOWN', outcome: 'unknown', witnessed: true })
      expect(await scene.store.resolve(error as CommitUnknownError)).toBe('applied')
      expect(await scene.other.resolve(error as CommitUnknownError)).toBe('applied')
      expect(await ids()).toEqual(['a'])
    })

    it('or that it never will', async () => {
      failAt('store.commit.before')
      const error = await scene.store
        .transaction((tx) => put(tx, 'a'), { witness: true })
        .catch((e) => e as CommitUnknownError)
      setFailpointHook(undefined)
      expect(error).toMatchObject({ code: 'COMMIT_UNKNOWN' })
      expect(await scene.store.resolve(error as CommitUnknownError)).toBe('not-applied')
      expect(await scene.store.resolve(error as CommitUnknownError)).toBe('not-applied')
      expect(await ids()).toEqual([])
    })

    it('it is not run again, and no hook runs', async () => {
      let runs = 0
      let hooks = 0
      failAt('store.commit.after')
      const failed = scene.store.transaction(async (tx) => {
        runs++
        tx.afterCommit(() => void hooks++)
        await put(tx, 'a')
      })
      expect(await codeOf(failed)).toBe('COMMIT_UNKNOWN')
      expect([runs, hooks]).toEqual([1, 0])
    })

    it('witnesses are kept for as long as one likes, and pruned when they are older', async () => {
      await scene.store.transaction((tx) => put(tx, 'a'), { witness: true })
      const month = 30 * 86_400_000
      expect(await pruneWitnesses(scene.store, { olderThanMs: month + 0.5 })).toBe(0)
      await scene.store.execute(
        sql`update ${scene.store.table('witness')} set decided_at_ms = ${Date.now() - 2 * month}`,
      )
      expect(await pruneWitnesses(scene.store, { olderThanMs: month })).toBe(1)
      for (const olderThanMs of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
        expect(await codeOf(pruneWitnesses(scene.store, { olderThanMs }))).toBe('CONFIG_INVALID')
      }
    })

    it('resolve without a witness is refused', async () => {
      failAt('store.commit.after')
      const error = await scene.store.transaction((tx) => put(tx, 'a')).catch((e) => e as CommitUnknownError)
      setFailpointHook(undefined)
      expect(await codeOf(scene.store.resolve(error as CommitUnknownError))).toBe('CONFIG_INVALID')
    })
  })
}
