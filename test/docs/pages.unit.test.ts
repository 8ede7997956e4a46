/** Reference pages beside the code: what exists is on the page, and what is on the page exists. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { Command } from '../../src/cli/command.ts'
import { commands } from '../../src/cli/commands.ts'
import { STORE_OPTIONS } from '../../src/cli/open-store.ts'
import { failpointNames } from '../../src/core/failpoint-names.ts'
import { printMigrations } from '../../src/store/index.ts'
import { postgres } from '../../src/store/postgres/index.ts'
import { allTables } from '../../src/tables/index.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const page = (name: string): string => readFileSync(join(root, 'docs', name), 'utf8')

const never = (): never => {
  throw new Error('does not connect')
}
const tables = [
  ...new Set(
    printMigrations(postgres({ connect: never }), allTables).flatMap(
      (statement) => /create table (?:if not exists )?"(\w+)"/.exec(statement)?.[1] ?? [],
    ),
  ),
]

it('errors.md lists each code once', () => {
  const codes = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => [
      ...readFileSync(join(root, 'src', file), 'utf8').matchAll(
        /readonly code = '(\w+)'|new CliError\(\s*'(\w+)'/g,
      ),
    ])
    .map(([, ours, cli]) => (ours ?? cli) as string)
  expect(codes.length).toBeGreaterThan(25)
  const listed = [...page('reference/errors.md').matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code)
  expect(listed).toEqual([...new Set(listed)])
  expect(listed).toEqual(expect.arrayContaining([...new Set(codes)]))
})

it('failpoints.md, and the list in the code, have each failpoint once', () => {
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && file !== 'core/failpoint.ts')
    .map((file) => readFileSync(join(root, 'src', file), 'utf8'))
  const places = /\b(?:failpoint|failpointSync|orLeave)\((?:[^()']*, )?'([^']+)'/g
  const names = sources.flatMap((text) => [...text.matchAll(places)].map(([, name]) => name as string))
  expect(names.length).toBeGreaterThan(40)
  const listed = [...page('reference/failpoints.md').matchAll(/^\| `([a-z.-]+)` \|/gm)].map(
    ([, name]) => name,
  )
  expect(failpointNames).toEqual(listed)
  expect(listed.sort()).toEqual([...new Set(names)].sort())
})

describe('cli.md', () => {
  const text = page('reference/cli.md')
  it.each(commands.map((command) => [command.name, command] as const))(
    'describes %s and its options',
    (name, command) => {
      const section = text.split(/^## /m).find((part) => part.startsWith(`${name}\n`))
      expect(section).toBeDefined()
      if ('runForeign' in command) return
      const shared = [
        ...Object.keys(STORE_OPTIONS),
        ...(/ (retry|purge)$/.test(name) ? filters(commands) : []),
      ]
      for (const option of Object.keys(command.options).filter((o) => !shared.includes(o))) {
        expect(name.endsWith('purge') ? text : section).toContain(`\`--${option}`)
      }
    },
  )
})

function filters(all: readonly { readonly name: string }[]): string[] {
  return Object.keys((all.find((c) => c.name === 'dead-letters list') as Command).options)
}

it.each(['reference/tables.md', 'reference/rights.md', 'how-to/retire-holdfast.md'])(
  '%s names every table',
  (name) => {
    const named = new Set(page(name).match(/\bholdfast_[a-z_]*[a-z]\b/g))
    expect([...named].filter((n) => !n.endsWith('_seq')).sort()).toEqual([...tables].sort())
  },
)

it('race.md lists what a race and its options may name', () => {
  const source = readFileSync(join(root, 'src/race/race.ts'), 'utf8')
  const lists = source.matchAll(/^ {4}\[\s*('\w+'(?:,\s*'\w+')*),?\s*\],$/gm)
  const allowed = [...lists].map(([list]) => [...list.matchAll(/'(\w+)'/g)].map(([, name]) => name))
  expect(allowed).toHaveLength(2)
  const [options = ''] = page('reference/race.md').split('## Running it')
  const listed = [...options.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name)
  expect(listed.sort()).toEqual(allowed.flat().sort())
})

it('README.md says how many tables there are', () => {
  const ones = 'one two three four five six seven eight nine'.split(' ')
  const words = [
    'ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty'.split(' '),
    ones.map((one) => `twenty-${one}`),
  ].flat()
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  expect(readme.toLowerCase()).toContain(`${words[tables.length - 10]} tables`)
})
