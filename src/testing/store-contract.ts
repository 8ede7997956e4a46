/** What every store must do, written once; each adapter runs it. Long because it is a contract. */
import { setFailpointHook } from '../core/failpoint.ts'
import {
  type CommitUnknownError,
  DeadlockError,
  type Isolation,
  migrate,
  type OwnTransaction,
  pruneWitnesses,
  requireRevision,
  type Store,
  StoreBusyError,
  sql,
  storeTables,
  type TableSet,
} from '../store/index.ts'
import type { TestKit } from './test-kit.ts'

export interface StoreUnderTest {
  readonly store: Store
  /** A second store on the same database, with connections of its own. */
  readonly other: Store
  close(): Promise<void>
}

/**
 * Registers the tests that every store passes. `open` gives an empty database with two stores on it; each test closes
 * what it opened.
 */
export function describeStoreContract(kit: TestKit, name: string, open: () => Promise<StoreUnderTest>): void {
  const { describe, it, expect, beforeEach, afterEach } = kit

  describe(`store contract: ${name}`, () => {
    let opened: StoreUnderTest
    let store: Store
    beforeEach(async () => {
      opened = await open()
      store = opened.store
      await migrate(store, [storeTables])
      await store.execute('create table item (id varchar(100) primary key, amount bigint not null)')
    })
    afterEach(async () => {
      setFailpointHook(undefined)
      await opened.close()
    })

    const put = (tx: Pick<Store, 'execute'>, id: string, amount: number | bigint = 1): Promise<number> =>
      tx.execute(sql`insert into item (id, amount) values (${id}, ${amount})`)
    const ids = async (): Promise<string[]> =>
      (await opened.other.query<{ id: string }>('select id from item order by id')).map((row) => row.id)
    const codeOf = async (promise: Promise<unknown>): Promise<unknown> =>
      promise.then(
        () => 'fulfilled',
        (error) => error.code ?? error,
      )

    describe('commit and rollback', () => {
      it('a fulfilled transaction is there for other connections, with its result', async () => {
        const result = await store.transaction(async (tx) => {
          await put(tx, 'a')
          return 'done'
        })
        expect(result).toBe('done')
        expect(await ids()).toEqual(['a'])
      })

      it('a throw rolls back and passes through unchanged', async () => {
        const mine = new Error('mine')
        const failed = store.transaction(async (tx) => {
          await put(tx, 'a')
          throw mine
        })
        expect(await codeOf(failed)).toBe(mine)
        expect(await ids()).toEqual([])
      })

      it('execute gives the number of changed rows, query the rows', async () => {
        await store.transaction(async (tx) => {
          expect(await put(tx, 'a')).toBe(1)
          expect(await tx.execute(sql`update item set amount = ${2}`)).toBe(1)
          expect(await tx.execute(sql`update item set amount = 3 where id = ${'none'}`)).toBe(0)
          expect(await tx.query(sql`select id from item where amount = ${2}`)).toEqual([{ id: 'a' }])
        })
      })

      it('a statement that nobody awaited is part of the transaction', async () => {
        await store.transaction(async (tx) => {
          void put(tx, 'a')
          void put(tx, 'b')
        })
        expect(await ids()).toEqual(['a', 'b'])
      })

      it('a statement that nobody awaited and that fails takes the transaction with it', async () => {
        const failed = store.transaction(async (tx) => {
          await put(tx, 'a')
          void put(tx, 'a')
        })
        expect(await codeOf(failed)).toBe('CONSTRAINT_VIOLATED')
        expect(await ids()).toEqual([])
      })

      it('nor is one that was refused before it was sent forgotten', async () => {
        const failed = store.transaction(async (tx) => {
          await put(tx, 'a')
          void tx.lockRows('item', {})
        })
        expect(await codeOf(failed)).toBe('CONFIG_INVALID')
        expect(await ids()).toEqual([])
      })

      it('statements sent together run in the order of the calls', async () => {
        await store.transaction(async (tx) => {
          await Promise.all([
            put(tx, 'a', 1),
            tx.execute(sql`update item set amount = amount * 10`),
            tx.execute(sql`update item set amount = amount + 2`),
          ])
        })
        const [row] = await store.query<{ amount: unknown }>('select amount from item')
        expect(Number(row?.amount)).toBe(12)
      })

      it('a tx is refused after the end of its transaction, and nothing is written', async () => {
        let leaked: OwnTransaction | undefined
        await store.transaction(async (tx) => {
          leaked = tx
        })
        expect(await codeOf(put(leaked as OwnTransaction, 'late'))).toBe('TRANSACTION_STATE')
        expect(() => leaked?.afterCommit(() => {})).toThrow()
        expect(await codeOf((leaked as OwnTransaction).transaction(async () => {}))).toBe('TRANSACTION_STATE')
        expect(await ids()).toEqual([])
      })

      it('a read-only transaction reads and cannot write', async () => {
        await put(store, 'a')
        expect(
          await store.transaction((tx) => tx.query('select id from item'), { readOnly: true }),
        ).toHaveLength(1)
        const failed = store.transaction((tx) => put(tx, 'b'), { readOnly: true })
        expect(await codeOf(failed)).toBe('STATEMENT_FAILED')
        expect(await ids()).toEqual(['a'])
      })

      it('read runs one statement, beside a transaction that writes', async () => {
        await put(store, 'a')
        await store.transaction(async (tx) => {
          await put(tx, 'b')
          expect(await store.read('select id from item')).toEqual([{ id: 'a' }])
        })
        expect(await store.read('select id from item order by id')).toEqual([{ id: 'a' }, { id: 'b' }])
        expect(await codeOf(store.read('select nonsense from item'))).toBe('STATEMENT_FAILED')
      })

      it('autocommit is one statement that stands at once, or not at all', async () => {
        const insert = (id: string) =>
          store.autocommit(sql`insert into item (id, amount) values (${id}, 1) returning id`)
        expect(await insert('a')).toEqual([{ id: 'a' }])
        expect(await insert('a').catch((e) => e)).toMatchObject({
          code: 'CONSTRAINT_VIOLATED',
          outcome: 'not-applied',
        })
        const signal = AbortSignal.abort(new Error('no more'))
        await expect(store.autocommit(sql`delete from item`, { signal })).rejects.toThrow('no more')
        expect(await ids()).toEqual(['a'])
      })

      it('a broken rule of the schema has a kind and no value of the row in its message', async () => {
        await put(store, 'secret-id')
        const error = await put(store, 'secret-id').catch((e) => e)
        expect(error).toMatchObject({ code: 'CONSTRAINT_VIOLATED', kind: 'unique', outcome: 'not-applied' })
        expect(error.message).not.toContain('secret-id')
        const empty = await store
          .execute(sql`insert into item (id, amount) values (${'x'}, ${null})`)
          .catch((e) => e)
        expect(empty).toMatchObject({ code: 'CONSTRAINT_VIOLATED', kind: 'not-null' })
      })

      it('a statement that makes no sense is refused with the code of the database', async () => {
        const error = await store.query('selec 1').catch((e) => e)
        expect(error).toMatchObject({ code: 'STATEMENT_FAILED', outcome: 'not-applied' })
        expect(error.cause).toBeInstanceOf(Error)
      })

      it('integers above 2^31 and 2^53 come back whole', async () => {
        const amounts = [2n ** 31n + 1n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 53n) - 1n]
        await store.transaction(async (tx) => {
          for (const [i, amount] of amounts.entries()) await put(tx, `i${i}`, amount)
          await tx.execute(
            store.dialect.insertRows(
              sql.ident('item'),
              [
                { name: 'id', type: 'text' },
                { name: 'amount', type: 'bigint' },
              ],
              amounts.map((amount, i) => [`j${i}`, amount]),
            ),
          )
        })
        const rows = await store.query<{ amount: string | number | bigint }>(
          'select amount from item order by id',
        )
        expect(rows.map((row) => BigInt(row.amount))).toEqual([...amounts, ...amounts])
      })

      it('text with quotes and any script stays as it was', async () => {
        const id = `o'Brien "x" \\ $1 ? -- ü 漢字 🦊`
        await put(store, id)
        expect(await ids()).toEqual([id])
      })

      it('null, a boolean, a date and bytes travel as the only parameter', async () => {
        const type = store.dialect.name === 'sqlite' ? 'blob' : 'bytea'
        await store.execute(`create table pack (content ${type}, label varchar(100))`)
        const bytes = Uint8Array.of(0, 1, 255)
        expect(await store.execute(sql`insert into pack (content) values (${bytes})`)).toBe(1)
        const [row] = await store.query<{ content: Uint8Array }>('select content from pack')
        expect(row?.content).toBeInstanceOf(Uint8Array)
        expect([...(row?.content ?? [])]).toEqual([...bytes])
        expect(await store.execute(sql`update pack set content = ${null}`)).toBe(1)
        expect(await store.query('select content from pack')).toEqual([{ content: null }])
        for (const value of [true, new Date(0)]) {
          expect(await store.execute(sql`update pack set label = ${value}`)).toBe(1)
        }
      })

      it('what a database would store as something else is refused: undefined, and a NUL in text', async () => {
        const missing = undefined as unknown as string
        expect(await codeOf(put(store, missing))).toBe('PAYLOAD_INVALID')
        const locking = store.transaction((tx) => tx.lockRows('item', { id: missing }))
        expect(await codeOf(locking)).toBe('CONFIG_INVALID')
        expect(['PAYLOAD_INVALID', 'STATEMENT_FAILED']).toContain(await codeOf(put(store, 'a\0b')))
        expect(await ids()).toEqual([])
      })
    })

    describe('nested transactions', () => {
      it('what an inner one did vanishes when it throws, and the outer one goes on', async () => {
        await store.transaction(async (tx) => {
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
        await store.transaction(async (tx) => {
          await put(tx, 'a')
          await tx.transaction((inner) => put(inner, 'a')).catch(() => {})
          await put(tx, 'b')
        })
        expect(await ids()).toEqual(['a', 'b'])
      })

      it('an inner one that swallows the error of a statement may fail, but does not spoil the outer one', async () => {
        let inside: unknown
        await store.transaction(async (tx) => {
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
        const failed = store.transaction(
          (tx) =>
            tx.transaction(async (inner) => {
              await put(inner, 'first')
              abort.abort(new Error('enough'))
              for (let i = 0; end === undefined; i++) {
                await put(inner, `late${i}`).catch((error) => {
                  end = error.code
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
        await store.transaction(async (tx) => {
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
        await store.transaction(async (tx) => {
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
        await store.transaction(async (tx) => {
          await tx.transaction(async (inner) => {
            expect(await codeOf(put(tx, 'outer'))).toBe('TRANSACTION_STATE')
            expect(await codeOf(tx.transaction(async () => {}))).toBe('TRANSACTION_STATE')
            await put(inner, 'inner')
          })
        })
        expect(await ids()).toEqual(['inner'])
      })

      it('an inner tx is refused once it is over', async () => {
        await store.transaction(async (tx) => {
          const leaked = await tx.transaction(async (inner) => inner)
          expect(await codeOf(put(leaked, 'late'))).toBe('TRANSACTION_STATE')
        })
        expect(await ids()).toEqual([])
      })

      it('an inner one that nobody awaited fails the transaction', async () => {
        const failed = store.transaction(async (tx) => {
          void tx.transaction(() => new Promise(() => {})).catch(() => {})
        })
        expect(await codeOf(failed)).toBe('TRANSACTION_STATE')
      })
    })

    describe('hooks', () => {
      it('afterCommit runs in order, after the commit is visible to others', async () => {
        const seen: unknown[] = []
        await store.transaction(async (tx) => {
          tx.afterCommit(async () => void seen.push(await ids()))
          tx.afterCommit(() => void seen.push('second'))
          await put(tx, 'a')
        })
        expect(seen).toEqual([['a'], 'second'])
      })

      it('afterCommit does not run after a rollback, nor for an attempt that was retried', async () => {
        const seen: number[] = []
        await store.transaction(async (tx, attempt) => {
          tx.afterCommit(() => void seen.push(attempt))
          if (attempt === 1) throw new DeadlockError({})
        })
        await store
          .transaction(async (tx) => {
            tx.afterCommit(() => void seen.push(99))
            throw new Error('undo')
          })
          .catch(() => {})
        expect(seen).toEqual([2])
      })

      it('a hook that throws neither undoes nor hides the commit, and the other hooks run', async () => {
        let ran = false
        const error = await store
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
        await store.transaction(async (tx) => {
          tx.beforeCommit(flush, 'a')
          tx.beforeCommit(flush, 'b')
        })
        expect(await ids()).toEqual(['a', 'b'])
        const failed = store.transaction(async (tx) => {
          await put(tx, 'c')
          tx.beforeCommit(flush, 'a')
        })
        expect(await codeOf(failed)).toBe('CONSTRAINT_VIOLATED')
        expect(await ids()).toEqual(['a', 'b'])
      })
    })

    describe('retries', () => {
      it('what the database calls retriable runs again, with the attempt number, and commits once', async () => {
        const attempts: number[] = []
        await store.transaction(async (tx, attempt) => {
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
        const failed = store.transaction(
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
        await put(store, 'a')
        for (const fail of [
          () => Promise.reject(new Error('mine')),
          (tx: OwnTransaction) => put(tx, 'a'),
          (tx: OwnTransaction) => tx.query('selec'),
        ]) {
          await store
            .transaction(async (tx) => {
              runs++
              await fail(tx)
            })
            .catch(() => {})
        }
        expect(runs).toBe(3)
      })

      it('concurrent read-modify-writes under serializable lose no update', async () => {
        await put(store, 'a', 0)
        const add = (through: Store): Promise<unknown> =>
          through.transaction(
            async (tx) => {
              const [row] = await tx.query<{ amount: unknown }>(
                sql`select amount from item where id = ${'a'}`,
              )
              await tx.execute(sql`update item set amount = ${Number(row?.amount) + 1} where id = ${'a'}`)
            },
            { isolation: 'serializable', retries: 100 },
          )
        await Promise.all(Array.from({ length: 12 }, (_, i) => add(i % 2 ? store : opened.other)))
        const [row] = await store.query<{ amount: unknown }>('select amount from item')
        expect(Number(row?.amount)).toBe(12)
      })
    })

    describe('bounds and aborts', () => {
      it('a transaction that takes too long is rolled back, and the store works on', async () => {
        const failed = store.transaction(
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
        await put(store, 'b')
        expect(await ids()).toEqual(['b'])
      })

      it('an abort before the start passes its reason on and runs nothing', async () => {
        const reason = new Error('stop')
        let ran = false
        const work = async (): Promise<void> => {
          ran = true
        }
        const failed = store.transaction(work, { signal: AbortSignal.abort(reason) })
        expect(await codeOf(failed)).toBe(reason)
        expect(ran).toBe(false)
      })

      it('an abort during the work passes its reason on, rolls back, and fires tx.signal', async () => {
        const reason = new Error('stop')
        const abort = new AbortController()
        let seen: unknown
        const failed = store.transaction(
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
        const failed = store.transaction(
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
          Array.from({ length: 30 }, (_, i) => store.transaction((tx) => put(tx, `${i}`), { signal })),
        )
        await new Promise(setImmediate)
        process.off('warning', listen)
        expect(warnings).toEqual([])
      })

      it('options that cannot work are refused, all problems at once', async () => {
        const options = { timeoutMs: -1, retries: 1.5, isolation: 'chaos' as Isolation, timeout: 5 }
        const error = await store.transaction(async () => {}, options).catch((e) => e)
        expect(error).toMatchObject({ code: 'CONFIG_INVALID', outcome: 'not-applied' })
        expect(error.problems).toHaveLength(4)
        const both = store.transaction(async () => {}, { readOnly: true, witness: true })
        expect(await codeOf(both)).toBe('CONFIG_INVALID')
      })
    })

    describe('unknown commits', () => {
      const failAt = (place: string): void =>
        setFailpointHook((at) => {
          if (at === place) throw new Error('cut')
        })

      it('a commit that got no answer is unknown; resolve finds that it happened', async () => {
        failAt('store.commit.after')
        const error = await store
          .transaction((tx) => put(tx, 'a'), { witness: true })
          .catch((e) => e as CommitUnknownError)
        setFailpointHook(undefined)
        expect(error).toMatchObject({ code: 'COMMIT_UNKNOWN', outcome: 'unknown', witnessed: true })
        expect(await store.resolve(error as CommitUnknownError)).toBe('applied')
        expect(await opened.other.resolve(error as CommitUnknownError)).toBe('applied')
        expect(await ids()).toEqual(['a'])
      })

      it('or that it never will', async () => {
        failAt('store.commit.before')
        const error = await store
          .transaction((tx) => put(tx, 'a'), { witness: true })
          .catch((e) => e as CommitUnknownError)
        setFailpointHook(undefined)
        expect(error).toMatchObject({ code: 'COMMIT_UNKNOWN' })
        expect(await store.resolve(error as CommitUnknownError)).toBe('not-applied')
        expect(await store.resolve(error as CommitUnknownError)).toBe('not-applied')
        expect(await ids()).toEqual([])
      })

      it('it is not run again, and no hook runs', async () => {
        let runs = 0
        let hooks = 0
        failAt('store.commit.after')
        const failed = store.transaction(async (tx) => {
          runs++
          tx.afterCommit(() => void hooks++)
          await put(tx, 'a')
        })
        expect(await codeOf(failed)).toBe('COMMIT_UNKNOWN')
        expect([runs, hooks]).toEqual([1, 0])
      })

      it('witnesses are kept for as long as one likes, and pruned when they are older', async () => {
        await store.transaction((tx) => put(tx, 'a'), { witness: true })
        const month = 30 * 86_400_000
        expect(await pruneWitnesses(store, { olderThanMs: month + 0.5 })).toBe(0)
        await store.execute(
          sql`update ${store.table('witness')} set decided_at_ms = ${Date.now() - 2 * month}`,
        )
        expect(await pruneWitnesses(store, { olderThanMs: month })).toBe(1)
        for (const olderThanMs of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
          expect(await codeOf(pruneWitnesses(store, { olderThanMs }))).toBe('CONFIG_INVALID')
        }
      })

      it('resolve without a witness is refused', async () => {
        failAt('store.commit.after')
        const error = await store.transaction((tx) => put(tx, 'a')).catch((e) => e as CommitUnknownError)
        setFailpointHook(undefined)
        expect(await codeOf(store.resolve(error as CommitUnknownError))).toBe('CONFIG_INVALID')
      })
    })

    describe('row locks', () => {
      /** Runs `meanwhile` while another transaction holds the row `a`. */
      async function whileHeld<T>(meanwhile: () => Promise<T>): Promise<T> {
        await put(store, 'a')
        let letGo!: () => void
        const until = new Promise<void>((resolve) => {
          letGo = resolve
        })
        let held!: () => void
        const taken = new Promise<void>((resolve) => {
          held = resolve
        })
        const holder = opened.other.transaction(async (tx) => {
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
        await put(store, 'a', 5)
        const rows = await store.transaction((tx) => tx.lockRows<{ id: string }>('item', { id: 'a' }))
        expect(rows.map((row) => row.id)).toEqual(['a'])
        expect(await store.transaction((tx) => tx.lockRows('item', { id: 'none' }))).toEqual([])
        expect(
          await store.transaction((tx) =>
            tx.lockRows('item', sql`amount > ${4}`, { orderBy: ['id'], limit: 1 }),
          ),
        ).toHaveLength(1)
      })

      it('nowait on a held row fails at once', async () => {
        let runs = 0
        const error = await whileHeld(() =>
          store
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
          store
            .transaction((tx) => tx.lockRows('item', { id: 'a' }, { wait: { waitMs: 80 } }))
            .catch((e) => e),
        )
        expect(error).toMatchObject({ code: 'LOCK_TIMEOUT', waitMs: 80, outcome: 'not-applied' })
      })

      it('block waits until the holder is done, and sees what it wrote', async () => {
        let waiting: Promise<unknown[]> | undefined
        await put(store, 'a', 1)
        await opened.other.transaction(async (tx) => {
          await tx.lockRows('item', { id: 'a' })
          waiting = store.transaction((t) => t.lockRows('item', { id: 'a' }))
          await tx.execute(sql`update item set amount = ${2}`)
        })
        const [row] = (await waiting) as { amount: unknown }[]
        expect(Number(row?.amount)).toBe(2)
      })

      it('a throw gives the lock back', async () => {
        await put(store, 'a')
        await store
          .transaction(async (tx) => {
            await tx.lockRows('item', { id: 'a' })
            throw new Error('undo')
          })
          .catch(() => {})
        expect(
          await opened.other.transaction((tx) => tx.lockRows('item', { id: 'a' }, { wait: 'nowait' })),
        ).toHaveLength(1)
      })

      it('what the database lacks is refused as unsupported', async () => {
        const { dialect } = store
        for (const strength of ['update', 'no-key-update', 'share', 'key-share'] as const) {
          const code = await codeOf(store.transaction((tx) => tx.lockRows('item', { id: 'a' }, { strength })))
          expect(code).toBe(dialect.lockStrengths.includes(strength) ? 'fulfilled' : 'UNSUPPORTED')
        }
        const skip = store.transaction((tx) => tx.lockRows('item', { id: 'a' }, { wait: 'skip-locked' }))
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
        await store.transaction(async (tx) => {
          for (const args of cases)
            expect(await codeOf(tx.lockRows(...(args as Parameters<typeof tx.lockRows>)))).toBe(
              'CONFIG_INVALID',
            )
          await put(tx, 'fine')
        })
        expect(await ids()).toEqual(['fine'])
      })

      it('outside a transaction it is an error that says so', async () => {
        const error = await store.lockRows('item', { id: 'a' }).catch((e) => e)
        expect(error).toMatchObject({ code: 'UNSUPPORTED' })
        expect(error.message).toContain('no transaction is open')
        for (const text of [
          'select * from item for update',
          'SELECT * FROM item\nFOR NO KEY UPDATE skip locked',
          'select * from item /* x */ for /* y */ share',
          'with t as (select 1) select * from item for key share',
        ]) {
          expect(await codeOf(store.query(text))).toBe('UNSUPPORTED')
          expect(await codeOf(store.execute(text))).toBe('UNSUPPORTED')
        }
        expect(await store.query("select 'for update' as word")).toEqual([{ word: 'for update' }])
      })
    })

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
        expect(await migrate(store, [make(2)])).toHaveLength(2)
        expect(await migrate(store, [make(2)])).toEqual([])
        expect(await migrate(opened.other, [make(3)])).toHaveLength(1)
      })

      it('from many processes at once, one does the work', async () => {
        const all = await Promise.all(
          Array.from({ length: 6 }, (_, i) => migrate(i % 2 ? store : opened.other, [make(3)])),
        )
        expect(all.map((steps) => steps.length).sort()).toEqual([0, 0, 0, 0, 0, 3])
      })

      it('tables that are missing, too old, or newer than can be read are told apart', async () => {
        const need = (set: TableSet): Promise<void> => store.transaction((tx) => requireRevision(tx, set))
        expect(await need(make(1)).catch((e) => e)).toMatchObject({ code: 'SCHEMA_REVISION', found: 0 })
        await migrate(store, [make(2)])
        await need(make(2))
        await need(make(1)) // revision 2 says that code of revision 1 can read it
        const old = await need(make(3)).catch((e) => e)
        expect(old).toMatchObject({ code: 'SCHEMA_REVISION', found: 2, needed: 3 })
        await migrate(store, [make(4, 4)])
        const newer = await need(make(2)).catch((e) => e)
        expect(newer).toMatchObject({ code: 'SCHEMA_REVISION', found: 4, needed: 2 })
        expect(await codeOf(migrate(store, [make(2)]))).toBe('SCHEMA_REVISION')
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
        expect(await codeOf(migrate(store, [broken]))).toBe('STATEMENT_FAILED')
        expect(await codeOf(store.query(sql`select * from ${store.table('half')}`))).toBe('SCHEMA_REVISION')
      })
    })
  })
}
