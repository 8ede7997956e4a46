/**
 * Runs PostgreSQL's own isolation specs and compares the output byte for byte: `npm run spec-suite -- [--folder FOLDER]
 * [NAME...]`; the folder is `../shared/histories/postgres-isolation/pg15` where none is given. Starts a PostgreSQL 15 of Debian where it is installed, else the
 * version at hand, whose messages differ. Prints matched/total, permutations, waits and the time, and lists the
 * mismatches; their outputs stay in the folder that it names. Ends with 1 below HOLDFAST_SPEC_MIN matches, 114 by default.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { runSpecFile } from '../src/cli/race/run-spec.ts'
import { startPostgres } from '../test/support/postgres-server.ts'

const DEBIAN_15 = '/usr/lib/postgresql/15/bin'
const DATABASE = 'isolation_regression'
/** As PostgreSQL's regression driver creates its database. */
const DATABASE_SETTINGS = {
  lc_messages: 'C',
  lc_monetary: 'C',
  lc_numeric: 'C',
  lc_time: 'C',
  bytea_output: 'hex',
  timezone_abbreviations: 'Default',
}

const shared = fileURLToPath(new URL('../../shared/histories/postgres-isolation/pg15', import.meta.url))
const { values, positionals } = parseArgs({ options: { folder: { type: 'string' } }, allowPositionals: true })
const folder = values.folder ?? shared
const actual = fileURLToPath(new URL('../.cache/spec-suite', import.meta.url))

if (!existsSync(folder)) {
  console.log(`missing: there is no folder ${folder}`)
  process.exit(1)
}
mkdirSync(actual, { recursive: true })
const server = await startPostgres({}, existsSync(DEBIAN_15) ? DEBIAN_15 : undefined)
process.once('exit', server.killSync)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const url = new URL(server.url)
const version = await createDatabase()
url.pathname = `/${DATABASE}`

const names = positionals.length > 0 ? positionals : inOrder()
const began = performance.now()
const totals = { permutations: 0, waits: 0 }
const mismatches: string[] = []
for (const name of names) {
  const output = await outputOf(name)
  if (expectedOf(name).includes(output)) continue
  mismatches.push(name)
  writeFileSync(join(actual, `${name}.out`), output)
  console.log(`  DIFFERS ${name}`)
}
const matched = names.length - mismatches.length
const seconds = ((performance.now() - began) / 1000).toFixed(1)
console.log(
  `${matched}/${names.length} specs print the expected bytes on PostgreSQL ${version}, ` +
    `${totals.permutations} permutations, ${totals.waits} waits, ${seconds} s`,
)
if (mismatches.length > 0)
  console.log(`what was printed instead is in .cache/spec-suite: ${mismatches.join(', ')}`)
await server.stop()
process.exit(matched >= Math.min(names.length, Number(process.env.HOLDFAST_SPEC_MIN ?? 114)) ? 0 : 1)

async function createDatabase(): Promise<string> {
  const admin = new pg.Client({ connectionString: url.href })
  await admin.connect()
  await admin.query(`create database ${DATABASE} template template0`)
  for (const [name, value] of Object.entries(DATABASE_SETTINGS)) {
    await admin.query(`alter database ${DATABASE} set ${name} to '${value}'`)
  }
  const { rows } = await admin.query('show server_version')
  await admin.end()
  return rows[0].server_version
}

/** As the schedule has them, and then the ones that it leaves out. */
function inOrder(): string[] {
  const all = readdirSync(join(folder, 'specs')).map((file) => file.replace(/\.spec$/, ''))
  const schedule = [...readFileSync(join(folder, 'isolation_schedule'), 'utf8').matchAll(/^test: (\S+)/gm)]
  return [...new Set([...schedule.map(([, name]) => name as string), ...all])].filter((name) =>
    all.includes(name),
  )
}

async function outputOf(name: string): Promise<string> {
  let output = ''
  const write = (text: string) => {
    output += text
  }
  try {
    const run = await runSpecFile({
      file: join(folder, 'specs', `${name}.spec`),
      client: (options) => new pg.Client({ connectionString: url.href, ...options }),
      env: {},
      out: write,
      err: write,
    })
    totals.permutations += run.permutations
    totals.waits += run.waits
  } catch (error) {
    write(`${(error as Error).message}\n`)
  }
  return output
}

/** The tester's own comparison: one of the variants has to be equal. */
function expectedOf(name: string): string[] {
  return ['', '_1', '_2', '_3']
    .map((variant) => join(folder, 'expected', `${name}${variant}.out`))
    .filter((path) => existsSync(path))
    .map((path) => readFileSync(path, 'utf8'))
}
