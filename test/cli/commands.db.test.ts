/** The commands against real databases, on both stores. */
import { writeFileSync } from 'node:fs'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { freshDatabase } from '../support/postgres.ts'
import { openSqlite } from '../support/sqlite.ts'
import { holdfast } from './run.ts'

const folder = tempFolder('cli')
afterAll(folder.remove)
let files = 0

const stores = {
  sqlite: async () => ({ url: `sqlite:${folder.file(`${++files}.db`)}`, drop: async () => {} }),
  postgres: () => freshDatabase(),
} as const

describe.each(Object.entries(stores))('on %s', (kind, fresh) => {
  let store: string
  let drop: () => Promise<void>
  beforeAll(async () => {
    const database = await fresh()
    store = database.url
    drop = database.drop
  })
  afterAll(() => drop())

  it('before migrate, every command says what to run', async () => {
    // `migrate --dry-run` and the others must not create an SQLite file by looking.
    for (const command of ['status', 'doctor', 'migrate --dry-run', 'dead-letters list']) {
      const { code, out, err } = await holdfast([...command.split(' '), '--store', store])
      if (kind === 'sqlite')
        expect([code, err]).toEqual([2, expect.stringMatching(/there is no file .*holdfast migrate/)])
      else if (command === 'doctor')
        expect([code, out]).toEqual([1, expect.stringMatching(/PROBLEM .*tables are missing/)])
      else if (command.startsWith('migrate'))
        expect([code, out]).toEqual([0, expect.stringMatching(/would migrate/)])
      else expect([code, err]).toEqual([1, expect.stringMatching(/are missing; run "holdfast migrate"/)])
    }
  })

  it('migrate makes the tables, once, also when several run it', async () => {
    const outcomes = await Promise.all([1, 2, 3].map(() => holdfast(['migrate', '--store', store, '--json'])))
    expect(outcomes.map((o) => [o.code, o.err])).toEqual(outcomes.map(() => [0, '']))
    const steps = outcomes.map((o) => o.json().steps.length).sort()
    expect(steps.slice(0, 2)).toEqual([0, 0])
    expect(steps[2]).toBeGreaterThan(5)
    const again = await holdfast(['migrate', '--dry-run', '--store', store])
    expect([again.code, again.out]).toEqual([0, expect.stringMatching(/up to date/)])
  })

  it('doctor passes after migrate', async () => {
    const { code, json, err } = await holdfast(['doctor', '--store', store, '--json'])
    expect([code, err]).toEqual([0, ''])
    const { findings, ok } = json()
    expect(ok).toBe(true)
    expect(findings.filter((f: { level: string }) => f.level === 'problem')).toEqual([])
    expect(findings).toContainEqual({ check: 'schema-outbox', level: 'ok', found: 'outbox: revision 1 of 1' })
  })

  it('status shows an empty store', async () => {
    const { code, json } = await holdfast([
      'status',
      '--store',
      store,
      '--rates',
      '100ms',
      '--max-dead',
      '0',
      '--json',
    ])
    expect(code).toBe(0)
    expect(json()).toMatchObject({
      outboxes: [],
      leases: [],
      deadLetters: [],
      ok: true,
      rates: { publishedPerSecond: 0 },
    })
  })

  it('another prefix has tables of its own', async () => {
    const argv = ['--store', store, '--prefix', 'my "odd" ']
    expect((await holdfast(['status', ...argv])).code).toBe(1)
    expect((await holdfast(['migrate', ...argv])).code).toBe(0)
    expect((await holdfast(['status', ...argv])).code).toBe(0)
    expect((await holdfast(['doctor', ...argv])).code).toBe(0)
  })

  it('leaves tables alone that only a newer version can read', async () => {
    const argv = ['--store', store, '--prefix', 'newer_']
    await holdfast(['migrate', ...argv])
    const newer = `update newer_revision set revision = 99, readable_from = 99 where capability = 'saga'`
    await runScript(store, newer)
    for (const command of [
      'status',
      'dead-letters purge --all',
      'sagas purge --all',
      'sagas list',
      'locks list',
      'two-phase list',
      'replicas status',
      'migrate --dry-run',
      'migrate',
    ]) {
      const { code, err } = await holdfast([...command.split(' '), ...argv])
      expect([command, code, err]).toEqual([
        command,
        1,
        expect.stringMatching(/"saga" are at revision 99, which/),
      ])
    }
    const doctor = await holdfast(['doctor', ...argv])
    expect([doctor.code, doctor.out]).toEqual([1, expect.stringMatching(/PROBLEM .*saga: revision 99 of 1/)])
  })

  it('tables that are gone are not taken for tables in which nothing waits', async () => {
    const argv = ['--store', store, '--prefix', 'lost "one_']
    await holdfast(['migrate', ...argv])
    await runScript(store, 'drop table "lost ""one_outbox"; drop table "lost ""one_saga_flow"')
    for (const command of ['status', 'migrate', 'migrate --dry-run']) {
      const { code, json } = await holdfast([...command.split(' '), ...argv, '--json'])
      expect([command, code, json().problems]).toEqual([
        command,
        1,
        [
          expect.stringMatching(/^outbox: lost "one_outbox is gone/),
          expect.stringMatching(/^saga: lost "one_saga_flow is gone/),
        ],
      ])
    }
    const doctor = await holdfast(['doctor', ...argv])
    expect([doctor.code, doctor.out]).toEqual([
      1,
      expect.stringMatching(/PROBLEM .*lost "one_outbox is gone/),
    ])
    await runScript(store, `delete from "lost ""one_revision" where capability = 'outbox'`)
    expect((await holdfast(['status', ...argv, '--json'])).json().problems).toHaveLength(1)
  })

  it('migrate --print gives SQL that makes the same tables', async () => {
    const empty = await fresh()
    try {
      const { out } = await holdfast(['migrate', '--print', '--store', store])
      await runScript(empty.url, out)
      const { code, json } = await holdfast(['migrate', '--dry-run', '--json', '--store', empty.url])
      expect(code).toBe(0)
      expect(json().steps).toEqual([])
    } finally {
      await empty.drop()
    }
  })
})

it('a PostgreSQL schema holds the tables when one is named', async () => {
  await using database = await freshDatabase()
  await runScript(database.url, 'create schema "Hold fast"')
  const argv = ['--store', database.url, '--schema', 'Hold fast']
  expect((await holdfast(['migrate', ...argv])).code).toBe(0)
  expect((await holdfast(['doctor', ...argv])).code).toBe(0)
  expect((await holdfast(['status', '--store', database.url])).code).toBe(1)
  const missing = await holdfast(['migrate', '--store', database.url, '--schema', 'nowhere'])
  expect([missing.code, missing.err]).toEqual([1, expect.stringMatching(/^holdfast: .*"nowhere".*\n$/)])
})

it('doctor sees what a role may not do', async () => {
  await using database = await freshDatabase()
  await holdfast(['migrate', '--store', database.url])
  await runScript(
    database.url,
    `revoke create on schema public from public;
     drop role if exists holdfast_cli_reader; create role holdfast_cli_reader login;
     grant select on all tables in schema public to holdfast_cli_reader`,
  )
  const url = new URL(database.url)
  url.username = 'holdfast_cli_reader'
  const { code, json } = await holdfast(['doctor', '--store', url.href, '--json'])
  const problems = json().findings.filter((f: { level: string }) => f.level === 'problem')
  expect(code).toBe(1)
  expect(problems).toContainEqual(expect.objectContaining({ check: 'rights-holdfast_outbox' }))
  expect(json().findings).toContainEqual(expect.objectContaining({ check: 'role', level: 'ok' }))
  await runScript(database.url, 'drop owned by holdfast_cli_reader; drop role holdfast_cli_reader')
})

it('what is not a database is told in one sentence', async () => {
  const { code, err } = await holdfast(['doctor', '--store', `sqlite:${folder.file('nowhere/x.db')}`])
  expect([code, err]).toEqual([2, expect.stringMatching(/^holdfast: there is no file .*\n$/)])
  const text = folder.file('text.db')
  writeFileSync(text, 'this is no database, whatever its name says. '.repeat(40))
  const damaged = await holdfast(['status', '--store', `sqlite:${text}`])
  expect([damaged.code, damaged.err]).toEqual([
    2,
    expect.stringMatching(/^holdfast: SQLite found that the file is no database.*\n$/),
  ])
})

it('a file that cannot be made, and a server that refuses, are told with their own remedy', async () => {
  const file = await holdfast(['migrate', '--store', `sqlite:${folder.file('no/such/x.db')}`, '--json'])
  expect([file.code, file.json().error]).toEqual([
    2,
    {
      code: 'STORE_UNAVAILABLE',
      outcome: 'not-applied',
      message: expect.stringMatching(
        /^SQLite could not open the file \(.*\): check the path, and the rights of/,
      ),
    },
  ])
  await using database = await freshDatabase()
  const url = new URL(database.url)
  url.pathname = '/no_such_database'
  const { code, err } = await holdfast(['migrate', '--store', url.href])
  expect([code, err]).toEqual([
    2,
    expect.stringMatching(/^holdfast: PostgreSQL has no database .* not exist\)\n$/),
  ])
})

async function runScript(url: string, script: string): Promise<void> {
  if (url.startsWith('sqlite:')) {
    const db = openSqlite(url.slice('sqlite:'.length))
    db.exec(script)
    db.close()
    return
  }
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(script)
  } finally {
    await client.end()
  }
}
