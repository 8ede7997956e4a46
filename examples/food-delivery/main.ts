/** `holdfast demo`: the food-delivery system under faults, without and with Holdfast. */
import { pathToFileURL } from 'node:url'
import { UsageError } from './arguments.ts'
import { runDemo } from './demo.ts'
import { readFlow } from './flows.ts'
import { MESSAGES } from './options.ts'
import { killAllProcesses } from './process/child.ts'

/** Where the demo writes; the command line's own streams. */
export interface Io {
  out(text: string): void
  err(text: string): void
  readonly colour: boolean
}

const EXIT = { ok: 0, problem: 1, usage: 64, interrupted: 130 }

/** Reads its own arguments and gives the exit code. */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  const verbose = argv.includes('--verbose')
  const interrupted = new AbortController()
  const onSignal = (): void => interrupted.abort(new Error('interrupted'))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal)
  try {
    const other = await readFlow(argv)
    if (other !== undefined) return await other.flow.main(other.argv, io, interrupted.signal)
    return await runDemo(MESSAGES, argv, io, interrupted.signal)
  } catch (error) {
    killAllProcesses()
    if (interrupted.signal.aborted) return EXIT.interrupted
    const usage = error instanceof UsageError
    const message = inOneSentence((error as Error).message) + remedy(error)
    io.err(`holdfast demo: ${verbose ? (error as Error).stack : message}\n`)
    if (argv.includes('--json')) {
      const code = usage ? 'USAGE' : 'DEMO_FAILED'
      io.out(`${JSON.stringify({ error: { code, outcome: 'not-applied', message }, ok: false })}\n`)
    }
    return usage ? EXIT.usage : EXIT.problem
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal)
  }
}

/** A process of the demo that ended by itself is reported with what it wrote, stack included. */
function inOneSentence(message: string): string {
  return message
    .replaceAll(/\n\s+at .*/g, '')
    .trim()
    .replaceAll(/\s*\n\s*/g, '; ')
}

/** Errors of sockets, and SQLSTATEs. */
const OF_SERVER = /^(?:ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|\d[0-9A-Z]{4})$/

/** What the driver or the server says does not say which option it is about. */
function remedy(error: unknown): string {
  const { code } = error as { code?: unknown }
  const ofServer = typeof code === 'string' && OF_SERVER.test(code)
  return ofServer ? ': check the address of --store, and that the server runs' : ''
}

/** `node main.js` runs it by itself. */
if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.stdout.on('error', () => process.exit(EXIT.problem)) // the reader went away
  process.exitCode = await main(process.argv.slice(2), {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    colour: process.stdout.isTTY === true && !process.env.NO_COLOR,
  })
}
