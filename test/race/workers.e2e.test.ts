/** `holdfast race FILE --workers N`: one search in several processes. The report is that of one, and no clone is left. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { raceCommand } from '../../src/cli/commands/race.ts'
import type { RaceReport } from '../../src/race/index.ts'
import { type TempFolder, tempFolder } from '../support/files.ts'
import { type FreshPool, freshPool } from '../support/postgres.ts'
import { until } from '../support/wait.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const main = join(root, 'dist/cli/main.js')

let db: FreshPool
let folder: TempFolder
let oid: string
beforeAll(async () => {
  db = await freshPool()
  const { rows } = await db.pool.query('select oid::text from pg_database where datname = current_database()')
  oid = rows[0].oid
  folder = tempFolder('race-workers')
  mkdirSync(folder.file('node_modules'))
  symlinkSync(root, folder.file('node_modules/holdfast'))
  for (const name of ['pg', 'libsql', 'tsx']) {
    symlinkSync(join(root, 'node_modules', name), folder.file(`node_modules/${name}`))
  }
  writeFileSync(folder.file('package.json'), '{ "type": "module" }')
  writeFileSync(folder.file('two.race.ts'), TWO)
  writeFileSync(folder.file('long.race.mjs'), LONG)
})
beforeEach(() => closeIdle())
afterAll(async () => {
  folder.remove()
  await db.drop()
})

/** A race, and its repaired version with a third task, which is more than the budget of the tests. */
const TWO = `
  import pg from 'pg'
  import { race } from 'holdfast/race'
  const pool = new pg.Pool()
  await pool.query('select 1') // connects while it is loaded
  const withdraw = (lock: string) => async (amount: number): Promise<number> => {
    const client = await pool.connect()
    try {
      await client.query('begin')
      const { rows } = await client.query('select balance from account ' + lock)
      await client.query('update account set balance = $1', [rows[0].balance - amount])
      await client.query('commit')
      return rows[0].balance
    } finally { client.release() }
  }
  const setup = (db: { query(text: string): unknown }) => db.query(
    'create table if not exists account (balance int); delete from account; insert into account values (100)')
  const [plain, locked] = [withdraw(''), withdraw('for update')]
  export default [
    race('plain', { store: pool, setup, tasks: { alice: () => plain(30), bob: () => plain(50) } }),
    race('locked', { store: pool, setup, tasks: { alice: () => locked(1), bob: () => locked(2), carol: () => locked(3) } }),
  ]`

/** Tells who loads it, and has more schedules than anybody waits for. */
const LONG = `
  import { appendFileSync } from 'node:fs'
  import pg from 'pg'
  import { race } from 'holdfast/race'
  if (process.env.PIDS) appendFileSync(process.env.PIDS, process.pid + '\\n')
  const pool = new pg.Pool()
  const task = async () => { for (let i = 0; i < 20; i++) await pool.query('select 1') }
  export default race('long', { store: pool, tasks: { a: task, b: task } })`

const { DATABASE_URL: _, ...environment } = process.env

function envOf(url = db.url, more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const { hostname, port, username, password, pathname } = new URL(url)
  return {
    ...environment,
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: username,
    PGPASSWORD: password,
    PGDATABASE: pathname.slice(1),
    ...more,
  }
}

function run(file: string, args: readonly string[], env = envOf()) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'race', file, ...args], {
    cwd: folder.path,
    env,
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

/** The reports without what no two runs have in common. */
function reports(file: string, args: readonly string[], env = envOf()): RaceReport[] {
  const { stdout, stderr } = run(file, [...args, '--json'], env)
  expect(stderr).toBe('')
  return JSON.parse(stdout, (key, value) => (['seconds', 'blockedP50Ms'].includes(key) ? 0 : value)).races
}

async function clones(): Promise<string[]> {
  const { rows } = await db.pool.query(
    'select datname from pg_database where starts_with(datname, $1) order by 1',
    [`holdfast_race_${oid}_`],
  )
  return rows.map(({ datname }) => datname)
}

/** A database with a session cannot be cloned. */
async function closeIdle(): Promise<void> {
  while (db.pool.idleCount > 0) (await db.pool.connect()).release(true)
}

describe('the report', () => {
  it('is the same without workers, with one and with three: a finding with its remedies, and a clean search', async () => {
    const args = ['--schedules', '40', '--seed', '3']
    const [one, three] = [
      reports('two.race.ts', [...args, '--workers', '1']),
      reports('two.race.ts', [...args, '--workers', '3']),
    ]
    expect(three).toEqual(one)
    expect(one.map(({ ok }) => ok)).toEqual([false, true])
    expect(one[0]?.finding).toMatchObject({ anomaly: 'lost update', schedule: 'r1:a2b4a2' })
    expect(one[0]?.finding?.remedies).toContainEqual(
      expect.objectContaining({ remedy: 'row lock', result: 'removes' }),
    )
    expect(one[1]?.coverage).toMatchObject({ schedules: 40, exhaustive: false })
    // What the set-ups made was made in the clones.
    const { rows } = await db.pool.query(`select to_regclass('account') as account`)
    expect(rows).toEqual([{ account: null }])
    expect(await clones()).toEqual([])
    await closeIdle()
    expect(reports('two.race.ts', args)).toEqual(one)
    await db.pool.query('drop table account')
  }, 120_000)

  it('is the same on SQLite, and the file itself is left alone', () => {
    writeFileSync(
      folder.file('sqlite.race.mjs'),
      `import Database from 'libsql'
       import { race } from 'holdfast/race'
       const db = new Database('scratch.db')
       db.exec('pragma journal_mode = wal; create table if not exists account (balance int)')
       const withdraw = (begin, commit) => (amount) => {
         db.exec(begin)
         const [{ balance }] = db.prepare('select balance from account').all()
         db.prepare('update account set balance = ?').run(balance - amount)
         db.exec(commit)
       }
       const setup = (on) => on.query('delete from account; insert into account values (100)')
       const two = (name, withdraw) =>
         race(name, { store: 'sqlite:scratch.db', setup, tasks: { alice: () => withdraw(30), bob: () => withdraw(50) } })
       export default [two('plain', withdraw('select 1', 'select 1')), two('immediate', withdraw('begin immediate', 'commit'))]`,
    )
    spawnSync(
      process.execPath,
      [
        '-e',
        `const db = new (require('libsql'))('scratch.db'); db.exec("pragma journal_mode = wal; create table account (balance int); insert into account values (7)"); db.close()`,
      ],
      { cwd: folder.path },
    )
    const before = readFileSync(folder.file('scratch.db'))
    const [one, two] = ['1', '2'].map((workers) =>
      reports('sqlite.race.mjs', ['--workers', workers, '--no-remedies']),
    )
    expect(two).toEqual(one)
    expect(one?.map(({ ok }) => ok)).toEqual([false, true])
    expect(readFileSync(folder.file('scratch.db')).equals(before)).toBe(true)
  }, 120_000)
})

describe('the clones', () => {
  it('have the settings of the database, and are dropped when the schedules end with an error', async () => {
    await db.pool.query(
      `do $$ begin execute format('alter database %I set app.kind = ''a; b''', current_database()); end $$`,
    )
    await db.pool.query(
      `do $$ begin execute format('alter database %I set search_path to "Other", public', current_database()); end $$`,
    )
    writeFileSync(
      folder.file('settings.race.mjs'),
      `import pg from 'pg'
       import { race } from 'holdfast/race'
       const pool = new pg.Pool()
       const ask = async () => (await pool.query("select current_setting('app.kind') as kind, current_setting('search_path') as path")).rows[0]
       const setup = async (db) => { throw new Error(JSON.stringify((await db.query("select current_setting('app.kind') as kind, current_setting('search_path') as path")).rows[0])) }
       export default race('settings', { store: pool, setup, tasks: { a: ask, b: ask } })`,
    )
    await closeIdle()
    const { status, stderr } = run('settings.race.mjs', ['--workers', '2'])
    expect(stderr).toContain(JSON.stringify({ kind: 'a; b', path: '"Other", public' }))
    expect(status).toBe(2)
    expect(await clones()).toEqual([])
  })

  /** A search that goes on until it is stopped, once tasks are connected in each clone, beside `setup` and what keeps it. */
  async function start(workers: number) {
    const pids = folder.file(`pids-${Math.random()}`)
    const child = spawn(
      process.execPath,
      [
        main,
        'race',
        'long.race.mjs',
        '--workers',
        String(workers),
        '--schedules',
        '9999999',
        '--seconds',
        '600',
      ],
      { cwd: folder.path, env: envOf(db.url, { PIDS: pids }), stdio: ['ignore', 'pipe', 'pipe'] },
    )
    onTestFinished(() => void child.kill('SIGKILL'))
    let stderr = ''
    child.stderr.on('data', (text) => {
      stderr += text
    })
    const exited = new Promise<{ code: number | null; stderr: string }>((resolve) => {
      child.once('close', (code) => resolve({ code, stderr }))
    })
    const server = new pg.Client({ connectionString: db.url.replace(/\/[^/]*$/, '/postgres') })
    await server.connect()
    onTestFinished(() => server.end())
    await until(async () => {
      const { rows } = await server.query(
        `select count(*)::int as busy from (
           select from pg_stat_activity where starts_with(datname, $1) group by datname having count(*) >= 3) d`,
        [`holdfast_race_${oid}_`],
      )
      return rows[0].busy === workers
    })
    const workerPids = readFileSync(pids, 'utf8')
      .trim()
      .split('\n')
      .map(Number)
      .filter((pid) => pid !== child.pid)
    return { child, exited, workerPids }
  }

  it('are gone when a worker was killed, which is an error and not a smaller search', async () => {
    const { exited, workerPids } = await start(2)
    process.kill(workerPids[1] as number, 'SIGKILL')
    expect(await exited).toEqual({
      code: 2,
      stderr: expect.stringMatching(/worker \d of the search ended \(SIGKILL\)/),
    })
    expect(await clones()).toEqual([])
  })

  it('of a search that was killed are dropped by the next one, of one that runs are kept, and are gone after Ctrl-C', async () => {
    const killed = await start(2)
    killed.child.kill('SIGKILL')
    await killed.exited
    // The workers end by themselves, and the server lets go of the lock of the one that was killed.
    await until(() => killed.workerPids.every((pid) => !alive(pid)))
    const left = await clones()
    expect(left).toHaveLength(2)
    await closeIdle()
    const { child, exited, workerPids } = await start(1)
    const running = await clones()
    expect(running).toHaveLength(1)
    expect(left).not.toContain(running[0])
    await closeIdle()
    expect(run('long.race.mjs', ['--workers', '1', '--schedules', '5'])).toMatchObject({
      status: 0,
      stderr: '',
    })
    expect(await clones(), 'those of the search that runs').toEqual(running)
    // Ctrl-C, which every process of the terminal gets.
    for (const pid of [...workerPids, child.pid as number]) process.kill(pid, 'SIGINT')
    expect(await exited).toEqual({ code: 130, stderr: expect.stringContaining('ended by SIGINT') })
    expect(await clones()).toEqual([])
    expect(workerPids.some(alive)).toBe(false)
  }, 120_000)
})

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('what cannot be', () => {
  it.each([
    [{ workers: '0' }, '--workers must be a whole number from 1 to 64, got "0"'],
    [{ workers: '1.5' }, 'got "1.5"'],
    [{ workers: 'many' }, 'got "many"'],
    [{ workers: '2', replay: 'r1:ab' }, '--replay runs one schedule: leave --workers out'],
  ])('%j is a usage error', async (values, message) => {
    const io = { out: () => {}, err: () => {}, colour: false, env: {} }
    const work = raceCommand.run({ values, positionals: [folder.file('long.race.mjs')], io })
    await expect(work).rejects.toMatchObject({ exitCode: 64, message: expect.stringContaining(message) })
  })

  it('a role without CREATEDB is told which right it lacks and how it gets it', async () => {
    await db.pool.query(
      `do $$ begin create role race_plain login password 'plain'; exception when duplicate_object then end $$`,
    )
    await closeIdle()
    const url = new URL(db.url)
    Object.assign(url, { username: 'race_plain', password: 'plain' })
    const { status, stderr } = run('long.race.mjs', ['--workers', '2'], envOf(url.href))
    expect(stderr).toContain(
      'the role "race_plain" lacks the right CREATEDB; run: alter role "race_plain" createdb',
    )
    expect(status).toBe(2)
  })

  it('another session in the database is named', async () => {
    const other = new pg.Client({ connectionString: db.url, application_name: 'the web shop' })
    await other.connect()
    const { status, stderr } = run('long.race.mjs', ['--workers', '2'])
    await other.end()
    expect(stderr).toMatch(
      /while other sessions use it: end \d+ \(the web shop, 127\.0\.0\.1\), or leave workers out/,
    )
    expect(status).toBe(2)
    expect(await clones()).toEqual([])
  })

  it('a task that goes to another database is refused, since all workers would meet there', () => {
    writeFileSync(
      folder.file('elsewhere.race.mjs'),
      `import pg from 'pg'
       import { race } from 'holdfast/race'
       const [pool, other] = [new pg.Pool(), new pg.Pool({ database: 'postgres' })]
       const task = async () => { await pool.query('select 1'); await other.query('select 1') }
       export default race('elsewhere', { store: pool, tasks: { a: task, b: task } })`,
    )
    const { status, stderr } = run('elsewhere.race.mjs', ['--workers', '1'])
    expect(stderr).toContain('/postgres was refused: with workers everything has to go to the race')
    expect(status).toBe(2)
  })

  it('a task that opens another SQLite file is refused as well', () => {
    writeFileSync(
      folder.file('files.race.mjs'),
      `import Database from 'libsql'
       import { race } from 'holdfast/race'
       const task = () => { new Database('other.db') }
       export default race('files', { store: 'sqlite:one.db', tasks: { a: task, b: task } })`,
    )
    const { status, stderr } = run('files.race.mjs', ['--workers', '1'])
    expect(stderr).toContain('other.db was not opened: with workers every file has to be the race')
    expect(status).toBe(2)
    expect(existsSync(folder.file('other.db'))).toBe(false)
  })

  it('a test file, which a thread or a worker cannot load without its runner, is told what to do', () => {
    writeFileSync(
      folder.file('needs-runner.mjs'),
      `import Database from 'libsql'
       import { isMainThread } from 'node:worker_threads'
       import { explore, race } from 'holdfast/race'
       if (!isMainThread || process.send) throw new Error('failed to find the runner')
       new Database('needs.db').close()
       const inner = race('inner', { store: 'sqlite:needs.db', module: import.meta.url, tasks: { a: () => {}, b: () => {} } })
       for (const options of [{}, { workers: 1 }]) await explore(inner, options).catch(({ code, message }) => console.log(code, message))`,
    )
    const { stdout } = spawnSync(process.execPath, ['needs-runner.mjs'], {
      cwd: folder.path,
      encoding: 'utf8',
    })
    const told =
      /RACE_MODULE_UNLOADABLE .*needs-runner.mjs cannot be loaded .*failed to find the runner.*export the race as default from a file that needs no test runner/g
    expect(stdout.match(told)).toHaveLength(2)
  })

  it('a database in memory, or a race of a file that a worker cannot load', () => {
    writeFileSync(
      folder.file('memory.race.mjs'),
      `import Database from 'libsql'
       import { race } from 'holdfast/race'
       export default race('memory', { store: new Database(':memory:'), tasks: { a: () => {}, b: () => {} } })`,
    )
    expect(run('memory.race.mjs', ['--workers', '1'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('it is in memory or on a server, and not in a file'),
    })
    writeFileSync(
      folder.file('outside.mjs'),
      `import { explore, race } from 'holdfast/race'
       import pg from 'pg'
       const pool = new pg.Pool()
       const inner = (module) => race('inner', { store: pool, module, tasks: { a: () => {}, b: () => {} } })
       if (process.send === undefined) for (const module of [undefined, import.meta.url]) await explore(inner(module), { workers: 1 }).catch(({ code, message }) => console.log(code, message))
       await pool.end()`,
    )
    const { stdout } = spawnSync(process.execPath, ['outside.mjs'], {
      cwd: folder.path,
      env: envOf(),
      encoding: 'utf8',
    })
    expect(stdout).toContain(
      'CONFIG_INVALID race "inner": module must be import.meta.url of the file that exports the race',
    )
    expect(stdout).toMatch(/RACE_MODULE_UNLOADABLE .*does not export the race "inner"/)
  })
})
