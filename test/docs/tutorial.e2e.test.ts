/**
 * Follows docs/tutorial/first-outbox.md as a reader does: saves each file, runs each line, and looks for what the page
 * says will be seen. Words after `sh` in a block's first line say how to run it: `background`, `fails`, `until` (again
 * until it succeeds), `kill FILE` (kills that process first), `server` (not needed here).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { freshDatabase } from '../support/postgres.ts'
import { until } from '../support/wait.ts'
import { readBlocks } from './blocks.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const page = readFileSync(join(root, 'docs/tutorial/first-outbox.md'), 'utf8')
const POSTGRES = 'postgres://postgres:postgres@127.0.0.1:54329/postgres'

interface Running {
  readonly child: ChildProcess
  output: string
}

const folder = tempFolder('tutorial')
const running = new Map<string, Running>()
afterAll(async () => {
  for (const name of running.keys()) await stop(name, 'SIGKILL')
  folder.remove()
})

it('leads from an empty folder to a working outbox', { timeout: 180_000 }, async () => {
  await using database = await freshDatabase()
  const blocks = readBlocks(page.replaceAll(POSTGRES, database.url))
  expect(blocks.length).toBeGreaterThan(20)
  prepareFolder()
  let lastOutput = ''
  for (const block of blocks) {
    const [language = '', how = '', what = ''] = block.info.split(' ')
    if (language === 'ts' && block.file !== 'server.ts')
      writeFileSync(folder.file(block.file ?? ''), block.text)
    if (language === 'text') await expectToSee(block.text, lastOutput)
    if (language !== 'sh' || how === 'server') continue
    if (how === 'kill') await stop(what, 'SIGKILL')
    for (const line of block.text.split('\n')) {
      if (/^(mkdir|npm) /.test(line)) continue
      if (how === 'background') await start(line)
      else if (how === 'until')
        await until(async () => (await run(line)).code === 0, { deadlineMs: 20_000, what: line })
      else {
        const { code, output } = await run(line)
        expect(`${line}\n${code === 0 ? 'succeeds' : `fails: ${output}`}`).toMatch(
          how === 'fails' ? /\nfails: / : /\nsucceeds$/,
        )
        if (how === 'fails') expect(output).toContain('CONSTRAINT_VIOLATED')
        lastOutput = output
      }
    }
  }
  const tickets = running.get('kitchen.ts')?.output.match(/cooking .*/g)
  expect(tickets).toEqual(
    ['soup for order-1', 'curry for order-2', 'bread for order-3', 'pie for order-4'].map(
      (t) => `cooking ${t}`,
    ),
  )
  // Ctrl-C stops the consumer, and nothing else keeps the process.
  expect(await stop('kitchen.ts', 'SIGINT')).toBe(0)
})

/** What `npm install` would put there. */
function prepareFolder(): void {
  writeFileSync(folder.file('package.json'), '{ "type": "module" }\n')
  mkdirSync(folder.file('node_modules'))
  symlinkSync(root, folder.file('node_modules/holdfast'))
  for (const name of ['libsql', 'tsx', 'pg']) {
    symlinkSync(join(root, 'node_modules', name), folder.file(`node_modules/${name}`))
  }
}

/** `cooking …` is what the kitchen prints; anything else is what the last command printed, ages aside. */
async function expectToSee(text: string, lastOutput: string): Promise<void> {
  if (text.startsWith('cooking')) {
    const kitchen = running.get('kitchen.ts')
    await until(() => kitchen?.output.includes(text), {
      deadlineMs: 30_000,
      what: `the kitchen to print "${text}"`,
    })
    return
  }
  const plain = (s: string): string => s.replaceAll(/\d+(\.\d)? (ms|s)\b/g, 'AGE').replaceAll(/ +/g, ' ')
  expect(plain(lastOutput)).toContain(plain(text))
}

function command(line: string): string[] {
  const [start, program = '', ...args] = line.split(' ')
  if (start === 'node') return [program, ...args]
  return program === 'holdfast' ? [join(root, 'dist/cli/main.js'), ...args] : ['--import', 'tsx', ...args]
}

async function run(line: string): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, command(line), { cwd: folder.path })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += String(data)))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, output }
}

async function start(line: string): Promise<void> {
  const name = line.split(' ').at(-1) ?? ''
  await stop(name, 'SIGINT')
  const child = spawn(process.execPath, command(line), { cwd: folder.path })
  const started: Running = { child, output: '' }
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      started.output += String(data)
    })
  }
  running.set(name, started)
}

/** Gives the exit code; null when the signal ended it, undefined when it was not there. */
async function stop(name: string, signal: NodeJS.Signals): Promise<number | null | undefined> {
  const child = running.get(name)?.child
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return undefined
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve))
  child.kill(signal)
  return closed
}
