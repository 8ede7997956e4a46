import { type Store, sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { mergeFields, mergeVersioned, readVersioned, updateVersioned } from 'holdfast/version'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { freshPool } from '../support/postgres.ts'
import { openSqlite } from '../support/sqlite.ts'

interface Opened {
  store: Store
  close(): Promise<void>
}
const stores: readonly (readonly [string, () => Promise<Opened>, string])[] = [
  [
    'postgres',
    async () => {
      const database = await freshPool()
      return { store: postgres(database.pool), close: database.drop }
    },
    'timestamptz not null default now()',
  ],
  [
    'sqlite',
    async () => {
      const folder = tempFolder('version')
      const store = sqlite({ open: () => openSqlite(folder.file('db')) })
      return {
        store,
        close: async () => {
          await store.close()
          folder.remove()
        },
      }
    },
    "text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
  ],
]

describe.each(stores)('versioned updates on %s', (_name, open, timestamp) => {
  let opened: Opened
  let store: Store
  beforeAll(async () => {
    opened = await open()
    store = opened.store
    await store.execute(
      `create table dish (id text primary key, name text not null, price int not null, version bigint not null default 1,
         updated_at ${timestamp})`,
    )
  })
  afterAll(() => opened.close())
  beforeEach(async () => {
    await store.execute('delete from dish')
    await store.execute(`insert into dish (id, name, price) values ('a', 'soup', 5)`)
  })
  const key = { id: 'a' }
  const read = () =>
    store.transaction((tx) => readVersioned<{ name: string; price: number }>(tx, 'dish', key))
  const codeOf = (promise: Promise<unknown>) =>
    promise.then(
      () => 'fulfilled',
      (error) => error.code,
    )

  it('of two updates from one version, one is applied and the other learns the version there is', async () => {
    const first = await read()
    expect(first).toMatchObject({ version: 1n, row: { name: 'soup', price: 5 } })
    expect(await store.transaction((tx) => updateVersioned(tx, 'dish', key, 1n, { price: 6 }))).toBe(2n)
    const error = await store
      .transaction((tx) => updateVersioned(tx, 'dish', key, 1n, { price: 7 }))
      .catch((e) => e)
    expect(error).toMatchObject({
      code: 'VERSION_CONFLICT',
      expected: 1n,
      actual: 2n,
      outcome: 'not-applied',
    })
    expect(await read()).toMatchObject({ version: 2n, row: { price: 6 } })
  })

  it('a row that is gone is a conflict without an actual version; reading it gives undefined', async () => {
    const gone = store.transaction((tx) => updateVersioned(tx, 'dish', { id: 'none' }, 1n, { price: 7 }))
    await expect(gone).rejects.toMatchObject({ code: 'VERSION_CONFLICT', actual: undefined })
    expect(await store.transaction((tx) => readVersioned(tx, 'dish', { id: 'none' }))).toBeUndefined()
  })

  it('after a conflict the transaction is still usable', async () => {
    await store.transaction(async (tx) => {
      expect(await codeOf(updateVersioned(tx, 'dish', key, 9n, { price: 7 }))).toBe('VERSION_CONFLICT')
      await tx.execute(sql`update dish set price = ${8}`)
    })
    expect(await read()).toMatchObject({ row: { price: 8 } })
  })

  it('versions above 2^53 stay whole', async () => {
    const big = 2n ** 53n + 1n
    await store.execute(sql`update dish set version = ${big}`)
    expect(await read()).toMatchObject({ version: big })
    await store.transaction((tx) => updateVersioned(tx, 'dish', key, big, { price: 6 }))
    expect(await read()).toMatchObject({ version: big + 1n })
    expect(await codeOf(store.transaction((tx) => updateVersioned(tx, 'dish', key, big, { price: 7 })))).toBe(
      'VERSION_CONFLICT',
    )
  })

  it('an update that changes the key itself gives the new version, of either kind', async () => {
    const options = { column: 'updated_at', kind: 'timestamp' } as const
    await store.transaction(async (tx) => {
      const before = await readVersioned(tx, 'dish', key, options)
      const version = await updateVersioned(tx, 'dish', key, before?.version ?? '', { id: 'b' }, options)
      expect(await readVersioned(tx, 'dish', { id: 'b' }, options)).toMatchObject({ version })
      expect(await updateVersioned(tx, 'dish', { id: 'b' }, 1n, { id: 'c' })).toBe(2n)
    })
  })

  it('a timestamp serves as version, to the last digit, and always moves on', async () => {
    const options = { column: 'updated_at', kind: 'timestamp' } as const
    const seen = new Set<unknown>()
    for (let i = 0; i < 20; i++) {
      const now = await store.transaction((tx) => readVersioned(tx, 'dish', key, options))
      if (now === undefined) return expect.unreachable()
      expect(Object.keys(now.row)).toEqual(['id', 'name', 'price', 'version', 'updated_at'])
      seen.add(now.version)
      const next = await store.transaction((tx) =>
        updateVersioned(tx, 'dish', key, now.version, { price: i }, options),
      )
      expect(await store.transaction((tx) => readVersioned(tx, 'dish', key, options))).toMatchObject({
        version: next,
      })
      const stale = store.transaction((tx) =>
        updateVersioned(tx, 'dish', key, now.version, { price: 99 }, options),
      )
      expect(await codeOf(stale)).toBe('VERSION_CONFLICT')
    }
    expect(seen.size).toBe(20)
  })

  it('what cannot work is refused before anything is written', async () => {
    await store.execute(`insert into dish (id, name, price) values ('b', 'soup', 5)`)
    await store.transaction(async (tx) => {
      for (const attempt of [
        () => updateVersioned(tx, 'dish', {}, 1n, { price: 1 }),
        () => updateVersioned(tx, 'dish', key, 1n, {}),
        () => updateVersioned(tx, 'dish', key, 1n, { version: 7n }),
        () => updateVersioned(tx, 'dish', key, '1', { price: 1 }),
        () => updateVersioned(tx, 'dish', key, 1n, { price: 1 }, { col: 'x' } as object),
        () => readVersioned(tx, 'dish', key, { column: 'name' }),
        () => readVersioned(tx, 'dish', { name: 'soup' }),
      ])
        expect(await codeOf(attempt())).toBe('CONFIG_INVALID')
    })
    const several = store.transaction((tx) => updateVersioned(tx, 'dish', { name: 'soup' }, 1n, { price: 9 }))
    expect(await codeOf(several)).toBe('CONFIG_INVALID')
    expect(await store.query(`select distinct price from dish`)).toEqual([{ price: 5 }])
  })

  it('concurrent merges lose no increment', async () => {
    await Promise.all(
      Array.from({ length: 10 }, () =>
        mergeVersioned<{ price: number }>(store, 'dish', key, (row) => ({ price: row.price + 1 }), {
          attemptsMax: 100,
        }),
      ),
    )
    expect(await read()).toMatchObject({ version: 11n, row: { price: 15 } })
  })

  it('updates of different columns both stand', async () => {
    const base = await read()
    if (base === undefined) return expect.unreachable()
    await store.transaction((tx) => updateVersioned(tx, 'dish', key, 1n, { name: 'stew' }))
    const mine = { price: 7 }
    const merged = await mergeVersioned(store, 'dish', key, (theirs) =>
      mergeFields({ base: base.row, mine, theirs }),
    )
    expect(merged.version).toBe(3n)
    expect(await read()).toMatchObject({ row: { name: 'stew', price: 7 } })
    const again = mergeVersioned(store, 'dish', key, (theirs) =>
      mergeFields({ base: base.row, mine: { name: 'broth' }, theirs }),
    )
    await expect(again).rejects.toMatchObject({ code: 'MERGE_CONFLICT', columns: ['name'] })
  })

  it('merging is bounded, reads again each time, and gives the conflict when it gives up', async () => {
    const seen: number[] = []
    // Inside one transaction, so that the other writer cannot be kept out by SQLite's file lock.
    const failed = store.transaction((tx) =>
      mergeVersioned<{ price: number }>(
        tx,
        'dish',
        key,
        async (row) => {
          seen.push(row.price)
          await tx.execute('update dish set price = price + 1, version = version + 1')
          return { price: 0 }
        },
        { attemptsMax: 3 },
      ),
    )
    await expect(failed).rejects.toMatchObject({ code: 'VERSION_CONFLICT', expected: 3n, actual: 4n })
    expect(seen).toEqual([5, 6, 7])
  })

  it('nothing to write is no update; a missing row is said so', async () => {
    expect(await mergeVersioned(store, 'dish', key, () => undefined)).toMatchObject({ version: 1n })
    expect(await codeOf(mergeVersioned(store, 'dish', { id: 'none' }, () => ({ price: 1 })))).toBe(
      'ROW_NOT_FOUND',
    )
  })
})

it('a driver that rounds versions is caught', async () => {
  await using database = await freshPool({ types: { getTypeParser: () => (text: string) => Number(text) } })
  const store = postgres(database.pool)
  await store.execute('create table t (id int, version bigint)')
  await store.execute(sql`insert into t values (1, ${2n ** 53n + 1n})`)
  const failed = store.transaction((tx) => readVersioned(tx, 't', { id: 1 }))
  await expect(failed).rejects.toMatchObject({ code: 'UNSUPPORTED' })
})
