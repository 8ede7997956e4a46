import { type OwnTransaction, sql } from '../../store/index.ts'
import { codeOf } from '../code-of.ts'
import type { TestKit } from '../test-kit.ts'
import { put, type StoreScene } from './scene.ts'

export function describeCommitAndRollback({ describe, it, expect }: TestKit, scene: StoreScene): void {
  const ids = (): Promise<string[]> => scene.ids()

  describe('commit and rollback', () => {
    it('a fulfilled transaction is there for other connections, with its result', async () => {
      const result = await scene.store.transaction(async (tx) => {
        await put(tx, 'a')
        return 'done'
      })
      expect(result).toBe('done')
      expect(await ids()).toEqual(['a'])
    })

    it('a throw rolls back and passes through unchanged', async () => {
      const mine = new Error('mine')
      const failed = scene.store.transaction(async (tx) => {
        await put(tx, 'a')
        throw mine
      })
      expect(await codeOf(failed)).toBe(mine)
      expect(await ids()).toEqual([])
    })

    it('execute gives the number of changed rows, query the rows', async () => {
      await scene.store.transaction(async (tx) => {
        expect(await put(tx, 'a')).toBe(1)
        expect(await tx.execute(sql`update item set amount = ${2}`)).toBe(1)
        expect(await tx.execute(sql`update item set amount = 3 where id = ${'none'}`)).toBe(0)
        expect(await tx.query(sql`select id from item where amount = ${2}`)).toEqual([{ id: 'a' }])
      })
    })

    it('a statement that nobody awaited is part of the transaction', async () => {
      await scene.store.transaction(async (tx) => {
        void put(tx, 'a')
        void put(tx, 'b')
      })
      expect(await ids()).toEqual(['a', 'b'])
    })

    it('a statement that nobody awaited and that fails takes the transaction with it', async () => {
      const failed = scene.store.transaction(async (tx) => {
        await put(tx, 'a')
        void put(tx, 'a')
      })
      expect(await codeOf(failed)).toBe('CONSTRAINT_VIOLATED')
      expect(await ids()).toEqual([])
    })

    it('nor is one that was refused before it was sent forgotten', async () => {
      const failed = scene.store.transaction(async (tx) => {
        await put(tx, 'a')
        void tx.lockRows('item', {})
      })
      expect(await codeOf(failed)).toBe('CONFIG_INVALID')
      expect(await ids()).toEqual([])
    })

    it('statements sent together run in the order of the calls', async () => {
      await scene.store.transaction(async (tx) => {
        await Promise.all([
          put(tx, 'a', 1),
          tx.execute(sql`update item set amount = amount * 10`),
          tx.execute(sql`update item set amount = amount + 2`),
        ])
      })
      const [row] = await scene.store.query<{ amount: unknown }>('select amount from item')
      expect(Number(row?.amount)).toBe(12)
    })

    it('a tx is refused after the end of its transaction, and nothing is written', async () => {
      let leaked: OwnTransaction | undefined
      await scene.store.transaction(async (tx) => {
        leaked = tx
      })
      expect(await codeOf(put(leaked as OwnTransaction, 'late'))).toBe('TRANSACTION_STATE')
      expect(() => leaked?.afterCommit(() => {})).toThrow()
      expect(await codeOf((leaked as OwnTransaction).transaction(async () => {}))).toBe('TRANSACTION_STATE')
      expect(await ids()).toEqual([])
    })

    it('a statement cannot end or begin a transaction: ROLLBACK and then COMMIT would be reported as applied', async () => {
      for (const text of [
        'rollback',
        ' COMMIT',
        'end',
        'begin',
        'Start  Transaction',
        'prepare transaction $$x$$',
        '-- a comment\nrollback',
        '/* a comment */ commit',
        ' ; /* and another */ end',
        'select 1; rollback',
      ]) {
        const failed = scene.store.transaction(async (tx) => {
          await put(tx, 'a')
          await tx.query(text)
        })
        expect([text, await codeOf(failed)]).toEqual([text, 'UNSUPPORTED'])
        expect([text, await codeOf(scene.store.execute(text))]).toEqual([text, 'UNSUPPORTED'])
      }
      expect(await ids()).toEqual([])
      await scene.store.transaction(async (tx) => {
        await tx.execute('savepoint mine')
        await put(tx, 'a')
        await tx.execute('rollback to savepoint mine')
      })
      expect(await ids()).toEqual([])
    })

    it('of several statements in one text all are run, or none: drivers of SQLite run the first and drop the rest', async () => {
      const { store } = scene
      const two = (a: string, b: string) =>
        `insert into item (id, amount) values ('${a}', 1); insert into item (id, amount) values ('${b}', 2)`
      const failed = await codeOf(store.execute(two('a', 'b')))
      expect([failed, await ids()]).toEqual(
        store.dialect.name === 'sqlite' ? ['UNSUPPORTED', []] : ['fulfilled', ['a', 'b']],
      )
      await store.execute("insert into item (id, amount) values ('c; commit', 3); -- no more; 'end'")
      expect(await ids()).toContain('c; commit')
    })

    it('what is no function is refused before anything is written', async () => {
      expect(await codeOf(scene.store.transaction(undefined as never))).toBe('CONFIG_INVALID')
      const failed = scene.store.transaction(async (tx) => {
        await put(tx, 'a')
        tx.afterCommit(undefined as never)
      })
      expect(await codeOf(failed)).toBe('CONFIG_INVALID')
      expect(await ids()).toEqual([])
    })

    it('a read-only transaction reads and cannot write', async () => {
      await put(scene.store, 'a')
      expect(
        await scene.store.transaction((tx) => tx.query('select id from item'), { readOnly: true }),
      ).toHaveLength(1)
      const failed = scene.store.transaction((tx) => put(tx, 'b'), { readOnly: true })
      expect(await codeOf(failed)).toBe('STATEMENT_FAILED')
      expect(await ids()).toEqual(['a'])
    })

    it('read runs one statement, beside a transaction that writes', async () => {
      await put(scene.store, 'a')
      await scene.store.transaction(async (tx) => {
        await put(tx, 'b')
        expect(await scene.store.read('select id from item')).toEqual([{ id: 'a' }])
      })
      expect(await scene.store.read('select id from item order by id')).toEqual([{ id: 'a' }, { id: 'b' }])
      expect(await codeOf(scene.store.read('select nonsense from item'))).toBe('STATEMENT_FAILED')
    })

    it('autocommit is one statement that stands at once, or not at all', async () => {
      const insert = (id: string) =>
        scene.store.autocommit(sql`insert into item (id, amount) values (${id}, 1) returning id`)
      expect(await insert('a')).toEqual([{ id: 'a' }])
      expect(await insert('a').catch((e) => e)).toMatchObject({
        code: 'CONSTRAINT_VIOLATED',
        outcome: 'not-applied',
      })
      const signal = AbortSignal.abort(new Error('no more'))
      await expect(scene.store.autocommit(sql`delete from item`, { signal })).rejects.toThrow('no more')
      expect(await ids()).toEqual(['a'])
    })

    it('a broken rule of the schema has a kind and no value of the row in its message', async () => {
      await put(scene.store, 'secret-id')
      const error = await put(scene.store, 'secret-id').catch((e) => e)
      expect(error).toMatchObject({ code: 'CONSTRAINT_VIOLATED', kind: 'unique', outcome: 'not-applied' })
      expect(error.message).not.toContain('secret-id')
      const empty = await scene.store
        .execute(sql`insert into item (id, amount) values (${'x'}, ${null})`)
        .catch((e) => e)
      expect(empty).toMatchObject({ code: 'CONSTRAINT_VIOLATED', kind: 'not-null' })
    })

    it('a statement that makes no sense is refused with the code of the database', async () => {
      const error = await scene.store.query('selec 1').catch((e) => e)
      expect(error).toMatchObject({ code: 'STATEMENT_FAILED', outcome: 'not-applied' })
      expect(error.cause).toBeInstanceOf(Error)
    })

    it('integers above 2^31 and 2^53 come back whole', async () => {
      const amounts = [2n ** 31n + 1n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 53n) - 1n]
      await scene.store.transaction(async (tx) => {
        for (const [i, amount] of amounts.entries()) await put(tx, `i${i}`, amount)
        await tx.execute(
          scene.store.dialect.insertRows(
            sql.ident('item'),
            [
              { name: 'id', type: 'text' },
              { name: 'amount', type: 'bigint' },
            ],
            amounts.map((amount, i) => [`j${i}`, amount]),
          ),
        )
      })
      const rows = await scene.store.query<{ amount: string | number | bigint }>(
        'select amount from item order by id',
      )
      expect(rows.map((row) => BigInt(row.amount))).toEqual([...amounts, ...amounts])
    })

    it('text with quotes and any script stays as it was', async () => {
      const id = `o'Brien "x" \\ $1 ? -- ü 漢字 🦊`
      await put(scene.store, id)
      expect(await ids()).toEqual([id])
    })

    it('null, a boolean, a date and bytes travel as the only parameter', async () => {
      const type = scene.store.dialect.name === 'sqlite' ? 'blob' : 'bytea'
      await scene.store.execute(`create table pack (content ${type}, label varchar(100))`)
      const bytes = Uint8Array.of(0, 1, 255)
      expect(await scene.store.execute(sql`insert into pack (content) values (${bytes})`)).toBe(1)
      const [row] = await scene.store.query<{ content: Uint8Array }>('select content from pack')
      expect(row?.content).toBeInstanceOf(Uint8Array)
      expect([...(row?.content ?? [])]).toEqual([...bytes])
      expect(await scene.store.execute(sql`update pack set content = ${null}`)).toBe(1)
      expect(await scene.store.query('select content from pack')).toEqual([{ content: null }])
      for (const value of [true, new Date(0)]) {
        expect(await scene.store.execute(sql`update pack set label = ${value}`)).toBe(1)
      }
    })

    it('what a database would store as something else is refused: undefined, and a NUL in text', async () => {
      const missing = undefined as unknown as string
      expect(await codeOf(put(scene.store, missing))).toBe('PAYLOAD_INVALID')
      const locking = scene.store.transaction((tx) => tx.lockRows('item', { id: missing }))
      expect(await codeOf(locking)).toBe('CONFIG_INVALID')
      expect(['PAYLOAD_INVALID', 'STATEMENT_FAILED']).toContain(await codeOf(put(scene.store, 'a\0b')))
      expect(await ids()).toEqual([])
    })
  })
}
