/**
 * Follows docs/tutorial/first-race.md as a reader does, with a database that is there and without trying the remedies,
 * which saves the time of both. `sh finds` is a command that ends with 1.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { freshDatabase } from '../support/postgres.ts'
import { readBlocks } from './blocks.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const page = readFileSync(join(root, 'docs/tutorial/first-race.md'), 'utf8')

it('leads from an empty folder to a race found and repaired', async () => {
  await using database = await freshDatabase()
  using folder = tempFolder('race-tutorial')
  writeFileSync(folder.file('package.json'), '{ "type": "module" }\n')
  mkdirSync(folder.file('node_modules'))
  symlinkSync(root, folder.file('node_modules/holdfast'))
  for (const name of ['tsx', 'pg']) {
    symlinkSync(join(root, 'node_modules', name), folder.file(`node_modules/${name}`))
  }
  let output = ''
  let seen = 0
  for (const { info, text, file } of readBlocks(page)) {
    if (/^ts/.test(info)) writeFileSync(folder.file(file ?? ''), text)
    if (info === 'text') {
      expect(output).toContain(text)
      seen += 1
    }
    const [, command] = /^npx (holdfast race .*)$/.exec(text) ?? []
    if (command === undefined) continue
    const [, ...args] = command.split(' ')
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(root, 'dist/cli/main.js'), ...args, '--no-remedies', '--store', database.url],
      { cwd: folder.path, encoding: 'utf8' },
    )
    output = stdout + stderr
    expect(status, output).toBe(info === 'sh finds' ? 1 : 0)
  }
  expect(seen).toBe(2)
  expect(output).toContain('every schedule was run')
})
