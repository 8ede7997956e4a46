/** Tasks on SQLite, each in its thread: a race file run as a user runs it. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { explore, type RaceReport, race } from '../../../src/race/index.ts'
import { tempFolder } from '../../support/files.ts'
import { openSqlite } from '../../support/sqlite.ts'

const folder = tempFolder('race-sqlite')
afterAll(() => folder.remove())
const main = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url))
const file = fileURLToPath(new URL('withdraw.race.mjs', import.meta.url))

function run(only: string, ...args: string[]): RaceReport[] {
  const { stdout, stderr } = spawnSync(process.execPath, [main, 'race', file, '--json', ...args], {
    encoding: 'utf8',
    env: { ...process.env, RACE_SQLITE_FILE: folder.file('race.db'), RACE_ONLY: only },
  })
  expect(stderr).toBe('')
  return JSON.parse(stdout).races
}

describe('withdraw', () => {
  let reports: ReadonlyMap<string, RaceReport>
  beforeAll(() => {
    reports = new Map(run('').map((report) => [report.name, report]))
  }, 240_000)

  it('loses an update, named with its statements', () => {
    const { finding } = reports.get('lost update') as RaceReport
    expect(finding).toMatchObject({ anomaly: 'lost update', preemptions: 1, responsible: [1, 3, 4] })
    expect(finding?.steps[0]).toMatchObject({ values: ['acct'], result: { rows: [{ balance: 100 }] } })
    expect(finding?.remedy).toContain('BEGIN IMMEDIATE')
  })

  it.each([
    'immediate',
    'one statement',
    'deferred',
    'ids and pauses',
    'rejections that nobody handles',
    'an await that nothing sees',
  ])('"%s" is clean in every schedule', (name) => {
    expect(reports.get(name)).toMatchObject({ ok: true, coverage: { exhaustive: true } })
  })

  it('a second BEGIN IMMEDIATE waits, and a transaction that read before is refused', () => {
    expect(reports.get('immediate')?.coverage).toMatchObject({ outcomes: 2 })
    expect(reports.get('immediate')?.coverage.blockedP50Ms).toBeGreaterThan(0)
    // The two serial orders, and the one that left alone.
    expect(reports.get('deferred')?.coverage.outcomes).toBeGreaterThan(2)
  })

  it('a BEGIN IMMEDIATE waits also after an error of SQLite has ended the transaction before', () => {
    expect(reports.get('rolled back by a conflict')?.coverage).toMatchObject({
      exhaustive: true,
      outcomes: 1,
    })
  })

  it('its remedies are tried in the threads', () => {
    const { finding } = reports.get('lost update') as RaceReport
    expect(finding?.remedies.map(({ remedy, result }) => [remedy, result])).toEqual([
      ['immediate transaction', 'removes'],
      ['version check', 'not tried'],
      ['serializable', 'removes'],
      ['unique constraint', 'not tried'],
      ['ordered locking', 'not tried'],
    ])
    expect(finding?.remedies[0]).toMatchObject({
      how: 'every transaction IMMEDIATE; alice, bob in one transaction each',
      exhaustive: true,
    })
  })

  it('a unique index removes check-then-insert, and is gone afterwards', () => {
    const { finding } = reports.get('check-then-insert') as RaceReport
    const unique = finding?.remedies.find(({ remedy }) => remedy === 'unique constraint')
    expect(unique).toMatchObject({ result: 'removes', how: 'UNIQUE (account) on slip' })
    const db = openSqlite(folder.file('race.db'))
    expect(
      db.prepare("select name from sqlite_master where type = 'index' and sql is not null").all(),
    ).toEqual([])
    db.close()
  })

  it('replays alike', () => {
    const { finding } = reports.get('lost update') as RaceReport
    const [again] = run('lost update', '--replay', finding?.schedule as string)
    expect(again?.finding?.steps).toEqual(finding?.steps)
    expect(again?.finding?.outcome).toEqual(finding?.outcome)
  })
})

it('a database in memory, and a race whose file is not known, are refused', async () => {
  const store = openSqlite(':memory:')
  const tasks = { a: () => {}, b: () => {} }
  const look = (more: object) => explore(race('refused', { store, tasks, ...more }))
  await expect(look({})).rejects.toMatchObject({ message: expect.stringContaining('import.meta.url') })
  await expect(look({ module: import.meta.url })).rejects.toMatchObject({
    message: expect.stringContaining('in a file'),
  })
  store.close()
  expect(() => race('refused', { store: 'sqlite::memory:', tasks })).toThrow('sqlite:PATH')
  expect(() => race('refused', { store: 'bank.db', tasks })).toThrow('sqlite:PATH')
})
