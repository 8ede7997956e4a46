/**
 * The hot-account exercise: sixteen clients add one to the same account, in seven ways and two traps.
 *
 * `--store sqlite:PATH`, `postgres://…` or `embedded-postgres`, more than once if you like; without it, a temporary
 * SQLite file. Ends with 1 when a way that must not lose a deposit lost one.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Address } from './bank.ts'
import { startEmbeddedPostgres } from './embedded-postgres.ts'
import { printRuns } from './print.ts'
import { type Run, runWays } from './run-ways.ts'
import { ways } from './ways.ts'

const { values } = parseArgs({
  options: {
    store: { type: 'string', multiple: true },
    clients: { type: 'string', default: '16' },
    deposits: { type: 'string', default: '800' },
    processes: { type: 'string', default: '1,2' },
    ways: { type: 'string', default: ways.map((w) => w.name).join(',') },
    json: { type: 'boolean', default: false },
  },
})
const clients = count('clients', values.clients)
const deposits = count('deposits', values.deposits)
const processCounts = values.processes.split(',').map((text) => count('processes', text))
const chosen = values.ways.split(',').map((name) => {
  const way = ways.find((w) => w.name === name)
  if (way === undefined) fail(`there is no way "${name}": choose ${ways.map((w) => w.name).join(', ')}`)
  return way
})

const cleanUp: (() => unknown)[] = []
const runs: Run[] = []
try {
  for (const text of values.store ?? ['sqlite']) {
    const address = await addressOf(text)
    for (const processes of processCounts) {
      const ofThese = await runWays({ address, ways: chosen, processes, clients, deposits })
      runs.push(...ofThese)
      if (!values.json) process.stdout.write(printRuns(ofThese, ways))
    }
  }
} finally {
  for (const action of cleanUp.reverse()) await action()
}
const ok = runs.every((run) => !run.keeps || run.lost === 0)
if (values.json) process.stdout.write(`${JSON.stringify({ runs, ok })}\n`)
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
  if (/^postgres(ql)?:/.test(text)) return { kind: 'postgres', url: text }
  return fail('--store must be sqlite, sqlite:PATH, postgres://… or embedded-postgres')
}

function count(name: string, text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) fail(`--${name} must be whole numbers above 0, got "${text}"`)
  return Number(text)
}

function fail(message: string): never {
  process.stderr.write(`bank: ${message}\n`)
  process.exit(64)
}
