import { sql } from '../../store/index.ts'
import { codeOf } from '../code-of.ts'
import type { TestKit } from '../test-kit.ts'
import { put, type StoreScene } from './scene.ts'

export function describeRowLocks({ describe, it, expect }: TestKit, scene: StoreScene): void {
  const ids = (): Promise<string[]> => scene.ids()

  describe('row locks', () => {
    /** Runs `meanwhile` while another transaction holds the row `a`. */
    async function whileHeld<T>(meanwhile: () => Promise<T>): Promise<T> {
      await put(scene.store, 'a')
      let letGo!: () => void
      const until = new Promise<void>((resolve) => {
        letGo = resolve
      })
      let held!: () => void
      const taken = new Promise<void>((resolve) => {
        held = resolve
      })
      const holder = scene.other.transaction(async (tx) => {
        await tx.lockRows('item', { id: 'a' })
        held()
        await until
      })
      await taken
      try {
        return await meanwhile()
      } finally {
        letGo()
        await holder
      }
    }

    it('gives the rows as they are', async () => {
      await put(scene.store, 'a', 5)
      const rows = await scene.store.transaction((tx) => tx.lockRows<{ id: string }>('item', { id: 'a' }))
      expect(rows.map((row) => row.id)).toEqual(['a'])
      expect(await scene.store.transaction((tx) => tx.lockRows('item', { id: 'none' }))).toEqual([])
      expect(
        await scene.store.transaction((tx) =>
          tx.lockRows('item', sql`amount > ${4}`, { orderBy: ['id'], limit: 1 }),
        ),
      ).toHaveLength(1)
    })

    it('nowait on a held row fails at once', async () => {
      let runs = 0
      const error = await whileHeld(() =>
        scene.store
          .transaction((tx) => {
            runs++
            return tx.lockRows('item', { id: 'a' }, { wait: 'nowait' })
          })
          .catch((e) => e),
      )
      expect(runs).toBe(1)
      expect(error).toMatchObject({ code: 'ROW_LOCKED', outcome: 'not-applied' })
    })

    it('waitMs bounds the wait', async () => {
      const error = await whileHeld(() =>
        scene.store
          .transaction((tx) => tx.lockRows('item', { id: 'a' }, { wait: { waitMs: 80 } }))
          .catch((e) => e),
      )
      expect(error).toMatchObject({ code: 'LOCK_TIMEOUT', waitMs: 80, outcome: 'not-applied' })
    })

    it('block waits until the holder is done, and sees what it wrote', async () => {
      let waiting: Promise<unknown[]> | undefined
      await put(scene.store, 'a', 1)
      await scene.other.transaction(async (tx) => {
        await tx.lockRows('item', { id: 'a' })
        waiting = scene.store.transaction((t) => t.lockRows('item', { id: 'a' }))
        await tx.execute(sql`update item set amount = ${2}`)
      })
      const [row] = (await waiting) as { amount: unknown }[]
      expect(Number(row?.amount)).toBe(2)
    })

    it('a throw gives the lock back', async () => {
      await put(scene.store, 'a')
      await scene.store
        .transaction(async (tx) => {
          await tx.lockRows('item', { id: 'a' })
          throw new Error('undo')
        })
        .catch(() => {})
      expect(
        await scene.other.transaction((tx) => tx.lockRows('item', { id: 'a' }, { wait: 'nowait' })),
      ).toHaveLength(1)
    })

    it('what the database lacks is refused as unsupported', async () => {
      const { dialect } = scene.store
      for (const strength of ['update', 'no-key-update', 'share', 'key-share'] as const) {
        const code = await codeOf(
          scene.store.transaction((tx) => tx.lockRows('item', { id: 'a' }, { strength })),
        )
        expect(code).toBe(dialect.lockStrengths.includes(strength) ? 'fulfilled' : 'UNSUPPORTED')
      }
      const skip = scene.store.transaction((tx) => tx.lockRows('item', { id: 'a' }, { wait: 'skip-locked' }))
      expect(await codeOf(skip)).toBe(dialect.skipLocked ? 'fulfilled' : 'UNSUPPORTED')
    })

    it('options that cannot work are refused before anything is sent', async () => {
      const cases: unknown[][] = [
        ['', { id: 1 }],
        ['item', {}],
        ['item', { id: 'a' }, { limit: 0 }],
        ['item', { id: 'a' }, { wait: { waitMs: -1 } }],
        ['item', { id: 'a' }, { wait: { ms: 1 } }],
        ['item', { id: 'a' }, { wait: 'skip' }],
        ['item', { id: 'a' }, { strength: 'update; drop table item' }],
        ['item', { id: 'a' }, { timeoutMs: 5 }],
      ]
      await scene.store.transaction(async (tx) => {
        for (const args of cases)
          expect(await codeOf(tx.lockRows(...(args as Parameters<typeof tx.lockRows>)))).toBe(
            'CONFIG_INVALID',
          )
        await put(tx, 'fine')
      })
      expect(await ids()).toEqual(['fine'])
    })

    it('outside a transaction it is an error that says so', async () => {
      const error = await scene.store.lockRows('item', { id: 'a' }).catch((e) => e)
      expect(error).toMatchObject({ code: 'UNSUPPORTED' })
      expect(error.message).toContain('no transaction is open')
      for (const text of [
        'select * from item for update',
        'SELECT * FROM item\nFOR NO KEY UPDATE skip locked',
        'select * from item /* x */ for /* y */ share',
        'with t as (select 1) select * from item for key share',
      ]) {
        expect(await codeOf(scene.store.query(text))).toBe('UNSUPPORTED')
        expect(await codeOf(scene.store.execute(text))).toBe('UNSUPPORTED')
      }
      expect(await scene.store.query("select 'for update' as word")).toEqual([{ word: 'for update' }])
    })
  })
}
