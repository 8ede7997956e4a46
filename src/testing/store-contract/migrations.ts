import { migrate, requireRevision, sql, type TableSet } from '../../store/index.ts'
import { codeOf } from '../code-of.ts'
import type { TestKit } from '../test-kit.ts'
import type { StoreScene } from './scene.ts'

export function describeMigrations({ describe, it, expect }: TestKit, scene: StoreScene): void {
  describe('migrations', () => {
    const make = (revisions: number, readableFrom = 1): TableSet => ({
      capability: 'thing',
      migrations: Array.from({ length: revisions }, (_, i) => {
        const statements = ({ table }: { table(name: string): string }): string[] => [
          `create table ${table(`thing_${i + 1}`)} (id integer primary key)`,
        ]
        return {
          revision: i + 1,
          readableFrom: i === 0 ? 1 : readableFrom,
          statements: { postgres: statements, sqlite: statements },
        }
      }),
    })

    it('run once, and again change nothing', async () => {
      expect(await migrate(scene.store, [make(2)])).toHaveLength(2)
      expect(await migrate(scene.store, [make(2)])).toEqual([])
      expect(await migrate(scene.other, [make(3)])).toHaveLength(1)
    })

    it('from many processes at once, one does the work', async () => {
      const all = await Promise.all(
        Array.from({ length: 6 }, (_, i) => migrate(i % 2 ? scene.store : scene.other, [make(3)])),
      )
      expect(all.map((steps) => steps.length).sort()).toEqual([0, 0, 0, 0, 0, 3])
    })

    it('tables that are missing, too old, or newer than can be read are told apart', async () => {
      const need = (set: TableSet): Promise<void> => scene.store.transaction((tx) => requireRevision(tx, set))
      expect(await need(make(1)).catch((e) => e)).toMatchObject({ code: 'SCHEMA_REVISION', found: 0 })
      await migrate(scene.store, [make(2)])
      await need(make(2))
      await need(make(1)) // revision 2 says that code of revision 1 can read it
      const old = await need(make(3)).catch((e) => e)
      expect(old).toMatchObject({ code: 'SCHEMA_REVISION', found: 2, needed: 3 })
      await migrate(scene.store, [make(4, 4)])
      const newer = await need(make(2)).catch((e) => e)
      expect(newer).toMatchObject({ code: 'SCHEMA_REVISION', found: 4, needed: 2 })
      expect(await codeOf(migrate(scene.store, [make(2)]))).toBe('SCHEMA_REVISION')
    })

    it('a migration that fails leaves nothing behind', async () => {
      const broken: TableSet = {
        capability: 'broken',
        migrations: [
          {
            revision: 1,
            readableFrom: 1,
            statements: {
              postgres: ({ table }) => [`create table ${table('half')} (id integer)`, 'selec'],
              sqlite: ({ table }) => [`create table ${table('half')} (id integer)`, 'selec'],
            },
          },
        ],
      }
      expect(await codeOf(migrate(scene.store, [broken]))).toBe('STATEMENT_FAILED')
      expect(await codeOf(scene.store.query(sql`select * from ${scene.store.table('half')}`))).toBe(
        'SCHEMA_REVISION',
      )
    })
  })
}
