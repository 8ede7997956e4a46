/** `holdfast race FILE` as a user runs it: a TypeScript file, a finding, its replay. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { EXIT } from '../../src/cli/command.ts'
import { raceCommand } from '../../src/cli/commands/race.ts'
import type { RaceReport } from '../../src/race/index.ts'
import { type TempFolder, tempFolder } from '../support/files.ts'
import { type FreshDatabase, freshDatabase } from '../support/postgres.ts'

let db: FreshDatabase
let folder: TempFolder
beforeAll(async () => {
  db = await freshDatabase()
  folder = tempFolder('race')
})
afterAll(async () => {
  folder.remove()
  await db.drop()
})

const io = { out: () => {}, err: () => {}, colour: false, env: {} }

function file(name: string, select: string): string {
  const entry = fileURLToPath(import.meta.resolve('../../src/race/index.ts'))
  const driver = fileURLToPath(import.meta.resolve('pg'))
  const path = folder.file(name)
  writeFileSync(
    path,
    `import { race } from ${JSON.stringify(entry)}
     import pg from ${JSON.stringify(driver)}
     const pool = new pg.Pool({ connectionString: ${JSON.stringify(db.url)} })
     async function withdraw(amount) {
       const client = await pool.connect()
       try {
         await client.query('begin')
         const { rows } = await client.query('${select}')
         await client.query('update account set balance = $1', [rows[0].balance - amount])
         await client.query('commit')
       } finally { client.release() }
     }
     export default race('two withdrawals', {
       store: pool,
       setup: (db) => db.query('create table if not exists account (balance int); delete from account; insert into account values (100)'),
       tasks: { alice: () => withdraw(30), bob: () => withdraw(50) },
     })`,
  )
  return path
}

async function run(path: string, values: Record<string, string | boolean> = {}) {
  const { exitCode, text, data } = await raceCommand.run({ values, positionals: [path], io })
  return { exitCode, text, report: (data as { races: RaceReport[] }).races[0] as RaceReport }
}

it('prints the race as a table, ends with 1, and replays it', async () => {
  const found = await run(file('lost.mjs', 'select balance from account'))
  expect(found.exitCode).toBe(1)
  expect(found.text).toContain('two withdrawals: LOST UPDATE')
  expect(found.text).toContain('replay:   --replay r1:a2b4a2')
  expect(found.text).toMatch(/row lock +removes it: \d+ runs clean/)
  const schedule = found.report.finding?.schedule as string
  const again = await run(file('again.mjs', 'select balance from account'), { replay: schedule })
  expect(again.exitCode).toBe(1)
  expect(again.report.finding?.steps).toEqual(found.report.finding?.steps)
  expect(again.text).toContain('; a replay, so no other schedule was run\n')
  await expect(run(file('not.mjs', 'select 1'), { replay: 'r1:abc' })).rejects.toMatchObject({
    message: expect.stringContaining('names task c, and there are 2 tasks'),
  })
})

it('ends with 0 once the row is locked', async () => {
  const { exitCode, report } = await run(file('locked.mjs', 'select balance from account for update'))
  expect(exitCode).toBe(0)
  expect(report.coverage.exhaustive).toBe(true)
})

it('leaves out what differs only by the order of independent statements with --skip-equivalent, and says so', async () => {
  const path = file('skips.mjs', 'select balance from account for update')
  const { exitCode, text, report } = await run(path, { 'skip-equivalent': true })
  expect(exitCode).toBe(0)
  expect(report.coverage).toMatchObject({ exhaustive: false, upToEquivalence: true })
  expect(text).toContain('every schedule was run, or one that differs only by the order of statements')
})

it('leaves remedies at their names with --no-remedies', async () => {
  const { text, report } = await run(file('named.mjs', 'select balance from account'), {
    'no-remedies': true,
  })
  expect(text).toContain('remedy:   a row lock')
  expect(report.finding?.remedies).toEqual([])
})

it('ends although a task never gave its client back', async () => {
  const path = file('leak.mjs', 'select balance from account')
  writeFileSync(path, readFileSync(path, 'utf8').replace('client.release()', ''))
  const { exitCode, report } = await run(path, { 'no-remedies': true })
  expect(exitCode).toBe(1)
  expect(report.finding?.anomaly).toBe('deadlock')
})

it('a file that exports no race is a usage error', async () => {
  const path = folder.file('none.mjs')
  writeFileSync(path, 'export default 1')
  await expect(run(path)).rejects.toMatchObject({ exitCode: 64 })
})

const root = fileURLToPath(new URL('../..', import.meta.url))
const main = join(root, 'dist/cli/main.js')

const strips = Boolean((process.features as { typescript?: unknown }).typescript)

/** A project of a user with the README's race, run as a user does. */
function runInProject({
  type,
  packages,
  withdraw = '',
}: {
  type: string
  packages: readonly string[]
  withdraw?: string
}) {
  expect(existsSync(main), 'dist is built: npm run build').toBe(true)
  const user = folder.file([type, ...packages, withdraw.length].join('-'))
  mkdirSync(join(user, 'node_modules'), { recursive: true })
  symlinkSync(root, join(user, 'node_modules/holdfast'))
  for (const name of packages) symlinkSync(join(root, 'node_modules', name), join(user, 'node_modules', name))
  writeFileSync(join(user, 'package.json'), JSON.stringify({ type }))
  writeFileSync(
    join(user, 'withdraw.ts'),
    withdraw ||
      `import pg from 'pg'
     export const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
     export async function withdraw(account: string, amount: number): Promise<void> {
       const { rows } = await pool.query('select balance from wallet where id = $1', [account])
       await pool.query('update wallet set balance = $1 where id = $2', [rows[0].balance - amount, account])
     }`,
  )
  writeFileSync(
    join(user, 'withdraw.race.ts'),
    `import { race } from 'holdfast/race'
     import { pool, withdraw } from './withdraw.ts'
     export default race('two withdrawals', {
       store: pool,
       setup: (db) => db.query("create table if not exists wallet (id text, balance int); delete from wallet; insert into wallet values ('a', 100)"),
       tasks: { alice: () => withdraw('a', 80), bob: () => withdraw('a', 50) },
     })`,
  )
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [main, 'race', '--no-remedies', 'withdraw.race.ts'],
    {
      cwd: user,
      env: { ...process.env, DATABASE_URL: db.url },
      encoding: 'utf8',
    },
  )
  return { status, text: stdout + stderr }
}

it.each(['module', 'commonjs'])('runs TypeScript with tsx in the folder of a "%s" package', (type) => {
  const { status, text } = runInProject({ type, packages: ['pg', 'tsx'] })
  expect(text).toContain('two withdrawals: LOST UPDATE')
  expect(status).toBe(1)
})

it('a module that a task loads under a row lock is waited for', () => {
  const withdraw = `import pg from 'pg'
    export const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
    let loads = 0
    export async function withdraw(account: string, amount: number): Promise<void> {
      const client = await pool.connect()
      await client.query('begin')
      const { rows } = await client.query('select balance from wallet where id = $1 for update', [account])
      await import('./withdraw.ts?' + loads++)
      await client.query('update wallet set balance = $1 where id = $2', [rows[0].balance - amount, account])
      await client.query('commit')
      client.release()
    }`
  const { status, text } = runInProject({ type: 'module', packages: ['pg', 'tsx'], withdraw })
  expect(text).toMatch(/two withdrawals: no race found\n.* 1 outcome,.* every schedule was run/)
  expect(status).toBe(0)
})

it('runs TypeScript without tsx where Node strips types, and names tsx elsewhere', () => {
  const { status, text } = runInProject({ type: 'module', packages: ['pg'] })
  expect(text).toContain(strips ? 'two withdrawals: LOST UPDATE' : 'npm install --save-dev tsx')
  expect(status).toBe(strips ? EXIT.problem : EXIT.unreachable)
})

it('says what a "commonjs" package needs where there is no tsx', () => {
  const { status, text } = runInProject({ type: 'commonjs', packages: ['pg'] })
  expect(text).toContain('npm install --save-dev tsx')
  expect(text).not.toContain('unexpected')
  expect(status).toBe(EXIT.unreachable)
})
