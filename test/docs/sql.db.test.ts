/** The SQL of the pages on rights and on retiring, run as it stands there. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createInbox } from 'holdfast/inbox'
import { acquireLease } from 'holdfast/lease'
import { createOutbox, deadLetters } from 'holdfast/outbox'
import { postgres } from 'holdfast/postgres'
import { storeQueue } from 'holdfast/store-queue'
import { allTables, migrate } from 'holdfast/tables'
import { createTwoPhase } from 'holdfast/two-phase'
import pg from 'pg'
import { expect, it } from 'vitest'
import { holdfast } from '../cli/run.ts'
import { tempFolder } from '../support/files.ts'
import { freshDatabase, freshPool } from '../support/postgres.ts'
import { openSqlite } from '../support/sqlite.ts'
import { until } from '../support/wait.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The test server does not sync, which `doctor` says. */
function isBad({ level, check }: { level: string; check: string }): boolean {
  return level !== 'ok' && check !== 'durability'
}

function sqlOf(page: string): string[] {
  return [...readFileSync(join(root, 'docs', page), 'utf8').matchAll(/```sql\n([\s\S]*?)```/g)].map(
    ([, text]) => text as string,
  )
}

it('the rights of rights.md suffice for everything but migrate', async () => {
  await using database = await freshPool()
  const role = `app_${database.url.slice(-12)}`
  await migrate(postgres(database.pool), allTables)
  await database.pool.query(
    'revoke create on schema public from public; create table mine (id text primary key)',
  )
  for (const block of sqlOf('reference/rights.md'))
    await database.pool.query(block.replaceAll('shop_app', role))
  await database.pool.query(`grant all on mine to ${role}`)

  const url = new URL(database.url)
  url.username = role
  const pool = new pg.Pool({ connectionString: url.href })
  pool.on('error', () => {})
  try {
    const store = postgres(pool)
    const outbox = createOutbox(store, { topics: { t: { order: 'commit' } } })
    const queue = storeQueue(store)
    await store.transaction(
      async (tx) => {
        await tx.execute("insert into mine values ('1')")
        await outbox.publish(tx, { topic: 't', key: 'k', payload: 1 })
        await outbox.publish(tx, { topic: 't', key: 'k', payload: 2, deliverAfterMs: 1 })
      },
      { witness: true },
    )
    const got: unknown[] = []
    await using relay = outbox.relay({ broker: queue })
    await using consumer = createInbox(store).consumer({
      broker: queue,
      topic: 't',
      group: 'g',
      retry: { attemptsMax: 2, baseMs: 1 },
      handler: async (_tx, message) => {
        got.push(message.payload)
        if (message.payload === 2) throw new Error('no')
      },
    })
    await until(async () => (await deadLetters(store).list()).length === 1, {
      what: 'the second message to be given up',
    })
    expect(got).toEqual([1, 2, 2])
    expect(await deadLetters(store).purge({ topic: 't' })).toEqual({ count: 1 })
    expect(await acquireLease(store, { scope: 's', name: 'n', owner: 'o', ttlMs: 1_000 })).toBeDefined()
    await consumer.stop()
    await relay.stop()
    const twoPhase = createTwoPhase(store, { participants: { store } })
    await twoPhase([store], ([tx]) => tx.execute("insert into mine values ('2')"))
    const share = await store.prepared?.prepare('app:1', (tx) => tx.execute("insert into mine values ('3')"))
    expect(await share?.commit()).toBe('done')
    expect(await twoPhase.recover()).toMatchObject({ pending: [], unreachable: [] })
    const { code, json } = await holdfast(['doctor', '--store', url.href, '--json'])
    expect(json().findings.filter(isBad)).toEqual([])
    expect(code).toBe(0)
    expect((await holdfast(['status', '--store', url.href, '--rates', '100ms'])).code).toBe(0)
    await expect(store.execute('create table not_mine (id int)')).rejects.toMatchObject({ sqlState: '42501' })
  } finally {
    await pool.end()
    await database.pool.query(`drop owned by ${role}; drop role ${role}`)
  }
})

it('retire-holdfast.md leaves nothing behind on PostgreSQL', async () => {
  await using database = await freshDatabase()
  await holdfast(['migrate', '--store', database.url])
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    for (const block of sqlOf('how-to/retire-holdfast.md')) await client.query(block)
    const { rows } = await client.query("select relname from pg_class where relname like '%holdfast%'")
    expect(rows).toEqual([])
  } finally {
    await client.end()
  }
})

it('retire-holdfast.md leaves nothing behind on SQLite', async () => {
  using folder = tempFolder('retire')
  const path = folder.file('shop.db')
  await holdfast(['migrate', '--store', `sqlite:${path}`])
  const db = openSqlite(path)
  for (const block of sqlOf('how-to/retire-holdfast.md')) db.exec(block)
  expect(db.prepare("select name from sqlite_master where name like '%holdfast%'").all()).toEqual([])
  db.close()
})
