/** What `holdfast race` ends with, whatever its file does: 1 says that a race was found, and 0 that none was; nothing else may. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { runHoldfast } from '../cli/process.ts'
import { type TempFolder, tempFolder } from '../support/files.ts'
import { freshDatabase } from '../support/postgres.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
let folder: TempFolder
beforeAll(() => {
  folder = tempFolder('endings')
  mkdirSync(folder.file('node_modules'))
  symlinkSync(root, folder.file('node_modules/holdfast'))
  symlinkSync(join(root, 'node_modules/pg'), folder.file('node_modules/pg'))
})
afterAll(() => folder.remove())

/** A race file whose tasks read and write one row, with `between` in between for alice. */
const withdraw = (between: string, rest = '') => `
  import { race } from 'holdfast/race'
  import pg from 'pg'
  const pool = new pg.Pool()
  const setup = (on) => on.query('create table if not exists account (balance int); delete from account; insert into account values (100)')
  const take = async (name, amount) => {
    const { rows } = await pool.query('select balance from account')
    if (name === 'alice') { ${between} }
    await pool.query('update account set balance = $1', [rows[0].balance - amount])
  }
  export default race('withdraw', { store: pool, setup, tasks: { alice: () => take('alice', 1), bob: () => take('bob', 2) }, ${rest} })`

interface Ending {
  /** Undefined for a file that is not there. */
  readonly file: string | undefined
  readonly args?: readonly string[]
  readonly code: number
  readonly error?: string
  /** What standard error holds, in this order. */
  readonly says?: RegExp
}

const endings: Record<string, Ending> = {
  'a race that is found': { file: withdraw(''), code: 1 },
  'a schedule that is clean': { file: withdraw(''), args: ['--replay', 'r1:a2b2'], code: 0 },
  'a file that is not there': { file: undefined, code: 64, error: 'USAGE' },
  'a file that exports no race': { file: 'export default 1', code: 64, error: 'USAGE' },
  'an option that there is not': { file: '', args: ['--nothing'], code: 64, error: 'USAGE' },
  'a race with a wrong option': {
    file: withdraw('', 'options: { schedules: -1 }'),
    code: 64,
    error: 'CONFIG_INVALID',
  },
  'a syntax error': {
    file: '\nexport default {',
    code: 2,
    error: 'MODULE_UNREADABLE',
    says: /cannot be loaded: Unexpected end of input\n {4}at .*\.mjs:2\n$/,
  },
  'a module that throws': {
    file: "function load() { throw new Error('no\\nsettings') }\nload()",
    code: 2,
    error: 'MODULE_UNREADABLE',
    says: /cannot be loaded: no; settings\n {4}at load \(.*\.mjs:1:25\)\n {4}at .*\.mjs:2:1\n$/,
  },
  'a module that throws nothing': { file: 'throw undefined', code: 2, error: 'MODULE_UNREADABLE' },
  'a race of one task': {
    file: "import { race } from 'holdfast/race'\nexport default race('one', { store: {}, tasks: { a() {} } })",
    code: 2,
    error: 'MODULE_UNREADABLE',
    says: /tasks must be two to five functions, got 1\n {4}at file:.*\.mjs:2/,
  },
  'a module that ends the process': {
    file: "console.error('here')\nprocess.exit(0)",
    code: 2,
    error: 'RACE_ENDED',
    says: /process\.exit\(0\) was called .*\n {4}at file:.*\.mjs:2:9\n$/,
  },
  'a module that never goes on': {
    file: 'await new Promise(() => {})',
    code: 2,
    error: 'RACE_ENDED',
    says: /what nothing will give\n$/,
  },
  'an exception that nobody handles while the file is loaded': {
    file: "setTimeout(() => { throw new Error('later') }, 1)\nawait new Promise(() => setInterval(() => {}, 1000))",
    code: 2,
    error: 'UNEXPECTED',
    says: /later.*\n {4}at .*\.mjs:1:26/,
  },
  'a setup that fails': {
    file: withdraw('').replace('create table', 'create tabel'),
    code: 2,
    error: 'RACE_SETUP_FAILED',
  },
  'a task that waits for nothing': {
    file: withdraw('await new Promise(() => {})'),
    code: 2,
    error: 'RACE_UNCONTROLLED_AWAIT',
  },
  'a task that ends the process': {
    file: withdraw('process.exit(0)'),
    code: 2,
    error: 'RACE_ENDED',
    says: /process\.exit\(0\) was called .*\n {4}at take \(file:.*\.mjs:8:/,
  },
  'a page that cannot be written': {
    file: withdraw(''),
    args: ['--html', '/nowhere/race.html'],
    code: 2,
    error: 'HTML_UNWRITABLE',
  },
  'a schedule that is none': {
    file: withdraw(''),
    args: ['--replay', 'x'],
    code: 64,
    error: 'CONFIG_INVALID',
  },
  'a module that spins': {
    file: 'for (;;);',
    args: ['--spin-seconds', '1'],
    code: 2,
    error: 'RACE_SPINNING',
    says: /loading the file has kept the event loop for 1000 ms, at .*\.mjs:1/,
  },
  'a task that spins': {
    file: withdraw('\nfor (;;);'),
    args: ['--spin-seconds', '1'],
    code: 2,
    error: 'RACE_SPINNING',
    says: /race "withdraw": task alice \(schedule r1:\w+ so far, seed 1\) has kept the event loop for 1000 ms, at .*\.mjs:9/,
  },
  'a task that ticks for ever': {
    file: withdraw('\nawait new Promise(() => { const f = () => process.nextTick(f); f() })'),
    args: ['--spin-seconds', '1'],
    code: 2,
    error: 'RACE_SPINNING',
    says: /task alice .* at .*\.mjs:9/,
  },
  'a task that spins in a worker of the search': {
    file: withdraw('\nfor (;;) await null'),
    args: ['--spin-seconds', '1', '--workers', '1'],
    code: 2,
    error: 'RACE_SPINNING',
    says: /task alice .* at .*\.mjs:9/,
  },
}

it.concurrent.for(Object.entries(endings))('%s', { timeout: 60_000 }, async ([name, ending], { expect }) => {
  const path = folder.file(`${name.replaceAll(/\W+/g, '-')}.mjs`)
  if (ending.file !== undefined) writeFileSync(path, ending.file)
  // Of its own, since the tables of all of it are read.
  await using db = ending.file?.includes('pg.Pool') ? await freshDatabase() : undefined
  const url = new URL(db?.url ?? 'postgres://nobody:x@127.0.0.1:1/none')
  const env = {
    PGHOST: url.hostname,
    PGPORT: url.port,
    PGUSER: url.username,
    PGPASSWORD: url.password,
    PGDATABASE: url.pathname.slice(1),
  }
  const args = ['race', path, '--json', '--no-remedies', ...(ending.args ?? [])]
  const { code, out, err } = await runHoldfast(args, { cwd: folder.path, env })
  const error = (JSON.parse(out) as { error?: { code: string } }).error?.code
  expect({ code, error, err }).toEqual({
    code: ending.code,
    error: ending.error,
    err: ending.says === undefined ? expect.anything() : expect.stringMatching(ending.says),
  })
})

it('the codes of the table are all met', () => {
  expect(new Set(Object.values(endings).map(({ code }) => code))).toEqual(new Set([0, 1, 2, 64]))
})
