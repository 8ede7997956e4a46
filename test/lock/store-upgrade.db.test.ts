/** From revision 1 of the tables, where every entry stood in the document, while locks are held. */
import { type Store, sql } from 'holdfast'
import { createLocks, lockTables, storeLocks } from 'holdfast/lock'
import { migrate, requireRevision, type TableSet } from 'holdfast/store'
import { describe, expect, it } from 'vitest'
import { freshStore, storeKinds } from '../support/stores.ts'
import { request, storedLock } from './stored-lock.ts'

const before: TableSet = { ...lockTables, migrations: lockTables.migrations.slice(0, 1) }

describe.each(storeKinds)('tables of locks at revision 1 on %s', (kind) => {
  /** `held` has a holder, a reader and a writer that wait; `free` was given back. */
  async function oldTables(store: Store): Promise<void> {
    const [{ now } = { now: 0 }] = await store.query<{ now: string | number }>(
      sql`select ${store.dialect.nowMs} as now`,
    )
    const entry = (h: string, m: string, t: number) => ({
      ...{ h, m, l: m === 'shared' ? 1e9 : 1, t: `${t}` },
      ...{ u: Number(now) + 60_000, a: Number(now) },
    })
    const held = [entry('h', 'exclusive', 7), entry('r', 'shared', 8), entry('w', 'exclusive', 9)]
    const json = (value: unknown) =>
      sql`${JSON.stringify(value)}${sql.raw(kind === 'postgres' ? '::jsonb' : '')}`
    await store.execute(
      sql`insert into ${store.table('lock')} (name, token, queue, changed_ms) values ('held', 9, ${json(held)}, 0), ('free', 4, ${json([])}, 0)`,
    )
  }

  it('are refused with what to do, until they are migrated', async () => {
    await using opened = await freshStore(kind, { tables: [before] })
    await oldTables(opened.store)
    await using locks = createLocks(opened.store)
    const refused = { code: 'SCHEMA_REVISION', found: 1, needed: 2 }
    await expect(locks.acquire('free')).rejects.toMatchObject(refused)
    await expect(locks.list()).rejects.toMatchObject(refused)
    await expect(locks.forceRelease('held')).rejects.toMatchObject(refused)
  })

  it('keep their locks as they are migrated, and stop the code that knows no other', async () => {
    await using opened = await freshStore(kind, { tables: [before] })
    const { store } = opened
    await oldTables(store)
    await migrate(store, [lockTables])

    // A process of the version before asks its first question, and one that runs its next.
    await expect(store.transaction((tx) => requireRevision(tx, before))).rejects.toMatchObject({
      code: 'SCHEMA_REVISION',
    })
    await expect(
      store.execute(sql`update ${store.table('lock')} set queue = '[]' where name = 'free' and queue = '[]'`),
    ).rejects.toMatchObject({ code: 'STATEMENT_FAILED' })

    const engine = storeLocks(store)
    const info = await engine.show('held')
    expect(info?.holders).toMatchObject([{ holder: 'h', token: 7n }])
    expect(info?.waiters.map(({ holder }) => holder)).toEqual(['r', 'w'])
    expect((await engine.list({ limit: 10 })).map(({ name }) => name)).toEqual(['held'])
    expect((await engine.ask(request('held'), { wait: false })).kind).toBe('refused')
    expect(await engine.renew(request('held', { holder: 'h' }))).toBeDefined()
    expect(await engine.release(request('held', { holder: 'h' }))).toBe(true)
    const reader = request('held', { holder: 'r', mode: 'shared', limit: Number.POSITIVE_INFINITY })
    expect(await engine.ask(reader, { wait: true })).toMatchObject({ kind: 'held', token: 8n })
    expect(await storedLock(store, 'held')).toEqual({ place: 'document', token: 9n, holders: ['r', 'w'] })
    expect((await engine.expel('held'))?.holders).toMatchObject([{ holder: 'r' }])
    expect(await engine.release(request('held', { holder: 'w' }))).toBe(true)
    for (const [name, token] of [
      ['held', 10n],
      ['free', 5n],
      ['new', 1n],
    ] as const) {
      const mine = request(name)
      expect(await engine.ask(mine, { wait: false })).toMatchObject({ kind: 'held', token })
      expect(await storedLock(store, name)).toEqual({ place: 'columns', token, holders: [mine.holder] })
      expect(await engine.release(mine)).toBe(true)
    }
  })
})
