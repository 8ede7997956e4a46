/**
 * The five well-known races on SQLite, each found and its repaired version clean, with each driver: a folder as a user has
 * it, and a race whose store is the path of a file. node:sqlite runs under a Node that has it.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import type { RaceReport } from '../../../src/race/index.ts'
import { tempFolder } from '../../support/files.ts'
import { INSTALL_MS, nodeBinary } from '../../support/node-binary.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const { DATABASE_URL: _, ...environment } = process.env
const drivers = process.env.HOLDFAST_TEST_DRIVERS
const here = process.versions.node.split('.')[0] as string

interface Driver {
  readonly name: string
  readonly node: string
  /** Where its packages lie. */
  readonly packages?: string
  readonly exported: string
  /** The races of the file to run, as a pattern of their names. */
  readonly only: string
  /** More arguments of the command. */
  readonly args?: readonly string[]
}

const all: readonly Driver[] = [
  { name: 'libsql', node: here, packages: root, exported: 'default', only: '' },
  ...(drivers
    ? [{ name: 'better-sqlite3', node: here, packages: drivers, exported: 'default', only: '^[^:]*$' }]
    : []),
  { name: 'node:sqlite', node: '22', exported: 'DatabaseSync', only: '^[^:]*$' },
  {
    name: 'node:sqlite',
    node: '24',
    exported: 'DatabaseSync',
    only: '^lost update',
    args: ['--store', 'sqlite:scratch.db'],
  },
]

function explore({ name, node, packages, exported, only, args = [] }: Driver): RaceReport[] {
  using folder = tempFolder('race-drivers')
  mkdirSync(folder.file('node_modules'))
  symlinkSync(root, folder.file('node_modules/holdfast'))
  if (packages !== undefined)
    symlinkSync(join(packages, 'node_modules', name), folder.file(`node_modules/${name}`))
  writeFileSync(folder.file('package.json'), '{ "type": "module" }\n')
  writeFileSync(folder.file('driver.mjs'), `export { ${exported} as Database } from '${name}'\n`)
  // As TypeScript too, which each thread has to be able to load.
  const file = name === 'libsql' ? 'five.race.ts' : 'five.race.mjs'
  if (file.endsWith('.ts')) symlinkSync(join(root, 'node_modules/tsx'), folder.file('node_modules/tsx'))
  copyFileSync(new URL('five.race.mjs', import.meta.url), folder.file(file))
  const { stdout, stderr } = spawnSync(
    nodeBinary(node),
    [join(root, 'dist/cli/main.js'), 'race', file, '--json', '--no-remedies', ...args],
    { cwd: folder.path, encoding: 'utf8', env: { ...environment, RACE_ONLY: only, NODE_NO_WARNINGS: '1' } },
  )
  expect(stderr).toBe('')
  expect(existsSync(folder.file(args.length > 0 ? 'scratch.db' : 'bank.db'))).toBe(true)
  return JSON.parse(stdout).races
}

describe.each(all)('$name on Node $node', (driver) => {
  let reports: readonly RaceReport[] = []
  beforeAll(() => {
    reports = explore(driver)
  }, INSTALL_MS)

  it('each race is found within 50 schedules, and named', () => {
    const broken = reports.filter(({ name }) => !name.includes(','))
    expect(broken.map(({ finding }) => finding?.anomaly)).toEqual(
      broken.map(({ name }) => name.replace('holdfast: ', '')),
    )
    for (const { coverage } of broken) expect(coverage.schedules).toBeLessThanOrEqual(50)
    expect(broken.length).toBeGreaterThan(0)
  })

  it('and is clean once repaired, in every schedule', () => {
    const repaired = reports.filter(({ name }) => name.includes(','))
    expect(repaired.length).toBeGreaterThanOrEqual(reports.length / 2)
    for (const { name, finding, coverage } of repaired) {
      expect(finding?.explanation, name).toBeUndefined()
      // Two transactions a task have more schedules than a test has time for.
      if (!name.includes('updateVersioned')) expect(coverage.exhaustive, name).toBe(true)
      expect(coverage.outcomes, name).toBeGreaterThan(name.startsWith('deadlock') ? 0 : 1)
    }
  })
})
