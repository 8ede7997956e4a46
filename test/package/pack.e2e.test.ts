/** The package as npm would publish it, installed into an empty folder and used by each supported Node. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { INSTALL_MS, nodeBinary } from '../support/node-binary.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { version, exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/**
 * One script, written for both module systems: `load` is `import` or `require`. It publishes in a transaction that
 * commits and in one that does not, and relays what there is.
 */
const script = (load: string) => `
async function main() {
  const { migrate, sql } = ${load}('holdfast')
  const { sqlite } = ${load}('holdfast/sqlite')
  const { createOutbox } = ${load}('holdfast/outbox')
  const { directBroker } = ${load}('holdfast/broker')
  const { allTables } = ${load}('holdfast/tables')
  const builtin = process.getBuiltinModule('node:sqlite')
  const Database = builtin ? builtin.DatabaseSync : require('libsql')
  const store = sqlite({ open: () => new Database(process.argv[2]) })
  await migrate(store, allTables)
  await store.execute('create table orders (id integer primary key)')
  const outbox = createOutbox(store)
  const order = (id, fail) =>
    store.transaction(async (tx) => {
      await tx.execute(sql\`insert into orders (id) values (\${id})\`)
      await outbox.publish(tx, { topic: 'order.placed', key: String(id), payload: { id } })
      if (fail) throw new Error('no')
    })
  await order(1)
  await order(2, true).catch(() => {})
  const received = []
  const relay = outbox.relay({ broker: directBroker({ handle: (m) => void received.push(m.payload) }), manual: true })
  await relay.drainOnce()
  await relay.stop()
  const orders = await store.read('select id from orders')
  await store.close()
  process.stdout.write(JSON.stringify({ node: process.versions.node, orders, received }))
}
`
const scripts = {
  'esm.mjs': `import { createRequire } from 'node:module'\nconst require = createRequire(import.meta.url)\n${script('await import')}await main()`,
  'cjs.cjs': `${script('require')}main()`,
}

const application = tempFolder('application')
afterAll(application.remove)

beforeAll(() => {
  expect(existsSync(join(root, 'dist/index.js')), 'dist is built: npm run build').toBe(true)
  // Without the scripts: `prepack` would rebuild dist while other tests use it.
  run('npm', ['pack', '--ignore-scripts', '--pack-destination', application.path], root)
  const [tarball = ''] = readdirSync(application.path)
  writeFileSync(application.file('package.json'), '{ "private": true }\n')
  run('npm', ['install', '--no-audit', '--no-fund', `./${tarball}`, 'typescript@5.9'], application.path)
  for (const [name, text] of Object.entries(scripts)) writeFileSync(application.file(name), text)
}, INSTALL_MS)

it('carries what a user needs and nothing else', () => {
  const shipped = readdirSync(application.file('node_modules/holdfast'))
  expect(shipped).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'dist', 'package.json']))
  expect(shipped).not.toEqual(expect.arrayContaining(['src']))
  expect(shipped).not.toEqual(expect.arrayContaining(['test']))
})

it('brings no driver that the user did not ask for', () => {
  const installed = readdirSync(application.file('node_modules'))
  for (const driver of ['pg', 'better-sqlite3', 'rabbitmq-client', '@nats-io']) {
    expect(installed).not.toContain(driver)
  }
})

describe.each(['20', '22', '24'])('on Node %s', (major) => {
  let node = ''
  beforeAll(() => {
    node = nodeBinary(major)
  }, INSTALL_MS)

  it.each(Object.keys(scripts))('%s publishes and relays', (name) => {
    const result = JSON.parse(run(node, [name, application.file(`${name}-${major}.db`)], application.path))
    expect(result.node.split('.')[0]).toBe(major)
    expect(result.orders).toEqual([{ id: 1 }])
    expect(result.received).toEqual(['{"id":1}'])
  })

  it('holdfast demo runs', () => {
    const cli = application.file('node_modules/holdfast/dist/cli/main.js')
    const result = JSON.parse(run(node, [cli, 'demo', '--orders', '50', '--json'], application.path))
    expect(result.ok).toBe(true)
  }, 120_000)
})

/** Each entry imported by a TypeScript file that becomes CommonJS, as in most services of today. */
it.each([
  ['commonjs', 'node10'],
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
])('has types with the module system %s and the resolution %s', (module, resolution) => {
  const entries = Object.keys(exports).filter((entry) => entry !== './package.json')
  const lines = entries.map((entry, i) => `import * as m${i} from 'holdfast${entry.slice(1)}'`)
  const used = `export const count: number = [${entries.map((_, i) => `typeof m${i}`).join(', ')}].length
const wrong: string = m0.sql\`select 1\`
`
  writeFileSync(application.file('entries.ts'), `${lines.join('\n')}\n${used}`)
  const tsc = application.file('node_modules/typescript/bin/tsc')
  const args = [
    tsc,
    '--outDir',
    `out-${resolution}`,
    '--strict',
    '--skipLibCheck',
    '--target',
    'es2022',
    '--module',
    module,
    '--moduleResolution',
    resolution,
    'entries.ts',
  ]
  const { stdout } = spawnSync(process.execPath, args, { cwd: application.path, encoding: 'utf8' })
  // The one line that is wrong shows that the types are there.
  expect(stdout.trim().split('\n')).toEqual([
    expect.stringContaining("Type 'Sql' is not assignable to type 'string'"),
  ])
  if (module === 'esnext') return
  const compiled = application.file(`out-${resolution}/entries.js`)
  expect(
    run(process.execPath, ['-p', `require(${JSON.stringify(compiled)}).count`], application.path).trim(),
  ).toBe(`${entries.length}`)
})

it('npx finds the command', () => {
  expect(run('npx', ['holdfast', '--version'], application.path).trim()).toBe(version)
})

function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  })
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}\n${stdout}\n${stderr}`)
  return stdout
}
