/**
 * A process takes a lock and is paused (SIGSTOP) for longer than its lease; another one takes the lock and writes; the first
 * one wakes up and writes as well. Once without the guard, once with it. Ends with 1 when the guard let it through.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Store, sql } from 'holdfast'
import { allTables, migrate } from 'holdfast/tables'
import { openStore } from './store.ts'

interface Line {
  readonly name: string
  readonly did: string
  readonly token?: string
  readonly code?: string
  readonly message?: string
}

const folder = mkdtempSync(join(tmpdir(), 'holdfast-paused-'))
const children: ChildProcess[] = []
try {
  const without = await run('unguarded')
  const withGuard = await run('guarded')
  print(`\nwithout the guard the report is by ${without}, with it by ${withGuard}\n`)
  process.exitCode = without === 'alice' && withGuard === 'bob' ? 0 : 1
} finally {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}

async function run(way: 'guarded' | 'unguarded'): Promise<string> {
  print(`\n${way === 'guarded' ? 'with fence(tx, lock)' : 'without the guard'}\n`)
  const path = join(folder, `${way}.db`)
  const store = openStore(path)
  await migrate(store, allTables)
  await store.execute('create table report (written_by text not null)')
  await store.execute("insert into report values ('nobody')")

  const alice = start('alice', path, way)
  await alice.did('acquired')
  alice.child.kill('SIGSTOP')
  print('  alice is paused\n')
  const bob = start('bob', path, way)
  await bob.did('acquired')
  bob.tell()
  await bob.did('wrote')
  alice.child.kill('SIGCONT')
  print('  alice goes on\n')
  alice.tell()
  await alice.did('wrote', 'was refused')
  const by = await writtenBy(store)
  for (const { child } of [alice, bob]) child.kill('SIGKILL')
  await store.close()
  return by
}

async function writtenBy(store: Store): Promise<string> {
  const [row] = await store.query<{ by: string }>(sql`select written_by as by from report`)
  return row?.by ?? ''
}

function start(name: string, path: string, way: string) {
  const built = fileURLToPath(new URL('./holder.js', import.meta.url))
  const program = existsSync(built) ? [built] : ['--import', 'tsx', built.replace(/\.js$/, '.ts')]
  const child = spawn(process.execPath, [...program, path, name, way], { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  const lines: Line[] = []
  let news = (): void => {}
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = JSON.parse(text) as Line
    lines.push(line)
    const detail = line.token !== undefined ? ` the lock, token ${line.token}` : ''
    print(
      `  ${name} ${line.did}${detail}${line.code === undefined ? '' : `: ${line.code}, ${line.message}`}\n`,
    )
    news()
  })
  const ended = new Promise<never>((_, reject) => {
    child.once('exit', (code) => reject(new Error(`${name} ended with ${code}`)))
  })
  ended.catch(() => {})
  return {
    child,
    tell: () => child.stdin.write('write\n'),
    async did(...what: string[]): Promise<void> {
      while (!lines.some((line) => what.includes(line.did))) {
        await Promise.race([
          new Promise<void>((resolve) => {
            news = resolve
          }),
          ended,
        ])
      }
    },
  }
}

function print(text: string): void {
  process.stdout.write(text)
}
