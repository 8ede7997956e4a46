/** Dead letters from the command line, on both stores. The rows are put there by the outbox's own function. */

import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { loadSqlite } from '../../src/cli/sqlite-driver.ts'
import { putDeadLetter } from '../../src/outbox/dead-letter.ts'
import { type Store, sql } from '../../src/store/index.ts'
import { postgres } from '../../src/store/postgres/index.ts'
import { sqlite } from '../../src/store/sqlite/index.ts'
import { tempFolder } from '../support/files.ts'
import { freshDatabase } from '../support/postgres.ts'
import { holdfast, type Outcome } from './run.ts'

const HOUR_MS = 3_600_000

describe.each(['sqlite', 'postgres'] as const)('dead letters on %s', (kind) => {
  let url: string
  let store: Store
  let close: () => Promise<void>
  let ids: Record<string, string>

  beforeAll(async () => {
    if (kind === 'sqlite') {
      const folder = tempFolder('letters')
      const path = folder.file('shop.db')
      url = `sqlite:${path}`
      // The library that the command line uses in this process too.
      const open = await loadSqlite()
      store = sqlite({ open: () => open(path) })
      close = async () => {
        await store.close()
        folder.remove()
      }
    } else {
      const database = await freshDatabase()
      url = database.url
      const pool = new pg.Pool({ connectionString: url })
      store = postgres(pool)
      close = async () => {
        await pool.end()
        await database.drop()
      }
    }
    await run('migrate')
  })
  afterAll(() => close())

  beforeEach(async () => {
    await store.execute(sql`delete from ${store.table('dead_letter')}`)
    await store.execute(sql`delete from ${store.table('outbox')}`)
    ids = {}
    for (const [name, source, topic, key] of [
      ['placed', 'outbox/default', 'order.placed', 'o-1'],
      ['paid', 'outbox/default', 'order.paid', 'o-1'],
      ['audit', 'outbox/audit', 'audit', null],
      ['cook', 'inbox/kitchen', 'order.placed', 'o-2'],
    ] as const) {
      ids[name] = await store.transaction((tx) =>
        putDeadLetter(tx, {
          source,
          message: {
            id: `m-${name}`,
            topic,
            key,
            payload: `{"of":"${name}"}`,
            headers: { a: 'b' },
            publishedAtMs: 5,
          },
          attempts: 20,
          error: new Error(`the broker refused it\nbecause of ${name}`),
          partition: 3,
        }),
      )
    }
    await store.execute(
      sql`update ${store.table('dead_letter')} set failed_at_ms = failed_at_ms - ${2 * HOUR_MS} where message_id = 'm-placed'`,
    )
  })

  function run(line: string, ...more: string[]): Promise<Outcome> {
    return holdfast([...line.split(' '), ...more, '--store', url])
  }

  async function left(): Promise<string[]> {
    const rows = await store.query<{ message_id: string }>(
      sql`select message_id from ${store.table('dead_letter')} order by message_id`,
    )
    return rows.map((r) => r.message_id.slice(2))
  }

  it.each([
    ['', ['placed', 'audit', 'cook', 'paid']],
    ['--topic order.placed', ['placed', 'cook']],
    ['--key o-1', ['placed', 'paid']],
    ['--source outbox/audit', ['audit']],
    ['--older-than 1h', ['placed']],
    ['--older-than 3h', []],
    ['--topic order.placed --key o-2', ['cook']],
    ['--topic %', []],
  ])('list %s', async (filter, expected) => {
    const { code, json } = await run(`dead-letters list --json${filter && ` ${filter}`}`)
    expect(code).toBe(0)
    const found = json().letters.map((l: { messageId: string }) => l.messageId.slice(2))
    expect([...found].sort()).toEqual([...expected].sort())
    if (expected.includes('placed')) expect(found[0]).toBe('placed')
    expect(json().total).toBe(expected.length)
  })

  it('list says how many it left out', async () => {
    const { out } = await run('dead-letters list --limit 1')
    expect(out).toMatch(
      /order\.placed .*2 h .*Error: the broker refused it because of placed\n\n1 of 4: --limit shows more\n$/,
    )
  })

  it('show gives payload, headers, reason and stack', async () => {
    const { code, out } = await run(`dead-letters show ${ids.paid}`)
    expect(code).toBe(0)
    for (const part of ['{"of":"paid"}', 'header a', 'because of paid', 'outbox/default', '20', ' at '])
      expect(out).toContain(part)
    const nothing = await run('dead-letters show nothing')
    expect([nothing.code, nothing.err]).toEqual([
      1,
      expect.stringMatching(/there is no dead letter "nothing"/),
    ])
  })

  it('retry brings those of an outbox back into it, as they were', async () => {
    const { code, out } = await run('dead-letters retry --source outbox/default')
    expect([code, out]).toEqual([0, 'brought back 2 dead letters\n'])
    expect(await left()).toEqual(['audit', 'cook'])
    const rows = await store.query(
      sql`select name, partition, attempts, message_id, topic, key, payload, headers, published_at_ms from ${store.table('outbox')} order by sequence`,
    )
    expect(rows.map((r) => ({ ...r, published_at_ms: Number(r.published_at_ms) }))).toEqual(
      ['placed', 'paid'].map((name) => ({
        name: 'default',
        partition: 3,
        attempts: 0,
        message_id: `m-${name}`,
        topic: `order.${name}`,
        key: 'o-1',
        payload: `{"of":"${name}"}`,
        headers: '{"a":"b"}',
        published_at_ms: 5,
      })),
    )
  })

  it('retry marks those of an inbox, once', async () => {
    expect((await run('dead-letters retry --source inbox/kitchen')).out).toBe('brought back 1 dead letter\n')
    expect((await run('dead-letters retry --source inbox/kitchen')).out).toBe('brought back 0 dead letters\n')
    const [letter] = (await run('dead-letters list --source inbox/kitchen --json')).json().letters
    expect(letter.retryRequested).toBe(true)
    expect(await store.query(sql`select 1 from ${store.table('outbox')}`)).toEqual([])
  })

  it('retry and purge take ids', async () => {
    expect((await run('dead-letters retry', ids.paid as string, ids.cook as string)).out).toMatch(/ 2 /)
    expect((await run('dead-letters purge', ids.audit as string)).out).toMatch(/ 1 /)
    expect(await left()).toEqual(['cook', 'placed'])
  })

  it.each(['retry', 'purge'])('%s of an id that there is not says so, and is a problem', async (verb) => {
    const { code, out } = await run(`dead-letters ${verb}`, 'nosuch', ids.audit as string)
    expect([code, out]).toEqual([
      1,
      expect.stringMatching(/ 1 dead letter\nthere is no such dead letter: nosuch\n$/),
    ])
    expect(await left()).toEqual(['cook', 'paid', 'placed'])
    // Of another topic, it is none that was asked for.
    const other = await run(`dead-letters ${verb} --json --dry-run --topic audit`, ids.paid as string)
    expect([other.code, other.json()]).toEqual([1, { count: 0, dryRun: true, missing: [ids.paid] }])
    const marked = [
      await run('dead-letters retry', ids.cook as string),
      await run('dead-letters retry', ids.cook as string),
    ]
    expect(marked.map(({ code }) => code)).toEqual([0, 0])
  })

  it('purge deletes what is meant, and --dry-run nothing', async () => {
    expect((await run('dead-letters purge --older-than 1h --dry-run')).out).toBe(
      'would have deleted 1 dead letter\n',
    )
    expect(await left()).toHaveLength(4)
    expect((await run('dead-letters purge --older-than 1h')).out).toBe('deleted 1 dead letter\n')
    expect(await left()).toEqual(['audit', 'cook', 'paid'])
    expect((await run('dead-letters purge --all --json')).json()).toEqual({ count: 3, dryRun: false })
    expect(await left()).toEqual([])
  })

  it.each(['dead-letters purge', 'dead-letters retry --dry-run', 'dead-letters purge --all --topic x'])(
    '"%s" says too little or too much, and nothing is done',
    async (line) => {
      expect((await run(line)).code).toBe(64)
      expect(await left()).toHaveLength(4)
    },
  )

  it('more than one batch is done whole', async () => {
    await store.transaction(async (tx) => {
      for (let i = 0; i < 1100; i++) {
        await putDeadLetter(tx, {
          source: 'outbox/many',
          message: {
            id: `n-${i}`,
            topic: 'many',
            key: null,
            payload: 'null',
            headers: {},
            publishedAtMs: 7,
          },
          attempts: 1,
          error: 'no',
          partition: i % 16,
        })
      }
    })
    expect((await run('dead-letters retry --topic many')).out).toBe('brought back 1100 dead letters\n')
    const [row] = await store.query<{ n: unknown }>(
      sql`select count(distinct message_id) as n from ${store.table('outbox')} where name = 'many'`,
    )
    expect(Number(row?.n)).toBe(1100)
    expect(await left()).toHaveLength(4)
  })
})
