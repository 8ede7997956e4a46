/** The travel example, run as its users run it; and its tutorial, followed as a reader does. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { openSqlite } from '../support/sqlite.ts'
import { until } from '../support/wait.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

function start(
  cwd: string,
  args: readonly string[],
): { child: ChildProcess; output: () => string; closed: Promise<void> } {
  const child = spawn(process.execPath, args, { cwd })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += String(data)))
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  return { child, output: () => output, closed }
}

function hasHotel(file: string): boolean {
  const db = openSqlite(file)
  try {
    const entry = `select 1 from holdfast_saga_entry where saga_id = 'trip-3' and step = 'hotel'`
    return db.prepare(entry).all().length === 1
  } finally {
    db.close()
  }
}

it('every trip is whole or given back, though the worker is killed', { timeout: 60_000 }, async () => {
  const { child, output, closed } = start(root, ['--import', 'tsx', 'examples/travel/main.ts'])
  await closed
  expect(`${output()}\n${child.exitCode}`).toMatch(
    /trip-to-Oslo: nothing is booked[\s\S]*or nothing of it is left\s+0$/,
  )
})

it('the tutorial leads from an empty folder to a saga that survives its worker', {
  timeout: 120_000,
}, async () => {
  using folder = tempFolder('travel')
  writeFileSync(folder.file('package.json'), '{ "type": "module" }\n')
  mkdirSync(folder.file('node_modules'))
  symlinkSync(root, folder.file('node_modules/holdfast'))
  for (const name of ['libsql', 'tsx'])
    symlinkSync(join(root, 'node_modules', name), folder.file(`node_modules/${name}`))
  const page = readFileSync(join(root, 'docs/tutorial/travel-saga.md'), 'utf8')
  let file = ''
  let last = ''
  let worker: ReturnType<typeof start> | undefined
  let later: ReturnType<typeof start> | undefined
  const command = (line: string): string[] => {
    const [launcher, program = '', ...args] = line.split(' ')
    if (launcher === 'node') return [program, ...args]
    return program === 'holdfast' ? [join(root, 'dist/cli/main.js'), ...args] : ['--import', 'tsx', ...args]
  }
  const run = async (line: string): Promise<string> => {
    const one = start(folder.path, command(line))
    await one.closed
    return one.output()
  }
  try {
    for (const part of page.split(/^```/m)) {
      const [info = '', ...lines] = part.split('\n')
      const [language, how] = info.split(' ')
      const text = lines.join('\n')
      if (language === 'ts') writeFileSync(folder.file(file), text)
      else if (language === 'text') expect(last).toContain(text.trim())
      else if (language === 'sh') {
        for (const line of text.trim().split('\n')) {
          if (/^(mkdir|npm) /.test(line)) continue
          if (how === 'background') {
            worker = start(folder.path, command(line))
            const { output } = worker
            await until(() => output().includes('the worker is ready'), {
              deadlineMs: 30_000,
              what: output(),
            })
          } else if (how === 'later') {
            later = start(folder.path, command(line))
            const output = worker?.output
            await until(() => output?.().includes('trip-3: booked the hotel'), { deadlineMs: 30_000 })
            // It says so inside its transaction; what is to survive the kill is there once the journal has it.
            await until(() => hasHotel(folder.file('trips.db')), { what: 'the hotel in the journal' })
          } else if (how === 'kill') {
            worker?.child.kill('SIGKILL')
            await worker?.closed
          } else if (how === 'until') {
            await later?.closed
            last = await run(line)
          } else last = await run(line)
        }
      } else file = [...part.matchAll(/`([\w-]+\.ts)`/g)].at(-1)?.[1] ?? file
    }
    expect(later?.output()).toContain("'car to Rome'")
    expect(worker?.output()).not.toContain('trip-3: booked the hotel')
  } finally {
    worker?.child.kill('SIGKILL')
    later?.child.kill('SIGKILL')
  }
})
