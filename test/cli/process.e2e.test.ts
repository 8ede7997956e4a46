/** The command line as a process: pipes, drivers, streams. Uses the build. */
import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { main, type ProcessOptions, runHoldfast } from './process.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = tempFolder('cli-process')
const store = `sqlite:${folder.file('shop.db')}`
afterAll(folder.remove)

beforeAll(() => {
  expect(existsSync(main), 'dist is built: npm run build').toBe(true)
})

const run = (args: readonly string[], options: ProcessOptions = {}) =>
  runHoldfast(args, { cwd: folder.path, ...options })

it('prints nothing but the answer', async () => {
  const migrated = await run(['migrate', '--store', store])
  expect(migrated).toEqual({ code: 0, out: expect.stringMatching(/outbox: revision 1/), err: '' })
  const { code, out, err } = await run(['status', '--json'], { env: { HOLDFAST_STORE: store } })
  expect({ code, err }).toEqual({ code: 0, err: '' })
  expect(out.trim().split('\n')).toHaveLength(1)
  expect(JSON.parse(out)).toMatchObject({ ok: true })
})

it('a reader that goes away is no failure', async () => {
  expect(await run(['migrate', '--print', '--store', store], { closeOutput: true })).toEqual({
    code: 0,
    out: '',
    err: '',
  })
})

it('uses no colour in a pipe', async () => {
  const { out } = await run(['doctor', '--store', store])
  expect(out).toMatch(/^ {2}ok /m)
  expect(out).not.toContain('\u001b')
})

it.each(['module', 'commonjs'])('reads the sagas of a TypeScript module of a "%s" package', async (type) => {
  const cwd = folder.file(`sagas-${type}`)
  mkdirSync(join(cwd, 'node_modules'), { recursive: true })
  symlinkSync(root, join(cwd, 'node_modules/holdfast'))
  symlinkSync(join(root, 'node_modules/tsx'), join(cwd, 'node_modules/tsx'))
  writeFileSync(join(cwd, 'package.json'), JSON.stringify({ type }))
  writeFileSync(
    join(cwd, 'sagas.ts'),
    `import { saga } from 'holdfast/saga'
     enum Step { charge = 'charge' }
     export const order = saga('order', async (s, n: number): Promise<void> => { await s.step(Step.charge, n, () => n) })`,
  )
  const { code, out, err } = await run(
    ['sagas', 'check-upgrade', '--module', 'sagas.ts', '--store', store, '--json'],
    { cwd },
  )
  expect({ code, err }).toEqual({ code: 0, err: '' })
  expect(JSON.parse(out)).toMatchObject({ checked: 0 })
})

describe('where no driver is installed', () => {
  const installed = join(folder.path, 'bare/node_modules/holdfast')
  const file = join(installed, 'dist/cli/main.js')
  const cwd = join(folder.path, 'bare')
  beforeAll(() => {
    mkdirSync(installed, { recursive: true })
    cpSync(join(root, 'dist'), join(installed, 'dist'), { recursive: true })
    cpSync(join(root, 'package.json'), join(installed, 'package.json'))
  })

  it('names the package for PostgreSQL', async () => {
    const { code, err } = await run(['status', '--store', 'postgres://me@127.0.0.1:1/x'], { file, cwd })
    expect({ code, err }).toEqual({
      code: 2,
      err: 'holdfast: the driver for PostgreSQL is not installed: run "npm install pg"\n',
    })
  })

  it('opens SQLite with the one of Node, or names the package', async () => {
    const { code, err } = await run(['migrate', '--store', 'sqlite:x.db'], { file, cwd })
    const builtin = process.getBuiltinModule?.('node:sqlite' as never) !== undefined
    if (builtin) expect({ code, err }).toEqual({ code: 0, err: '' })
    else
      expect({ code, err }).toEqual({
        code: 2,
        err: expect.stringMatching(/^holdfast: no SQLite driver .*npm install libsql.*\n$/),
      })
  })

  it('helps and prints SQL all the same', async () => {
    expect((await run(['--help'], { file, cwd })).code).toBe(0)
    expect((await run(['migrate', '--print', '--store', 'postgres://'], { file, cwd })).code).toBe(0)
  })
})
