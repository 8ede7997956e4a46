import { parseArgs } from 'node:util'
import { MECHANISMS, type Mechanism } from './holdfast/without.ts'
import { FAULT_LEVELS, type FaultLevel } from './shared/faults.ts'

export interface DemoOptions {
  readonly help: boolean
  readonly verbose: boolean
  readonly orders: number
  readonly seed: number
  readonly faults: FaultLevel
  readonly killAt: readonly string[]
  readonly postgresUrl: string | undefined
  readonly only: 'holdfast' | 'naive' | undefined
  readonly without: Mechanism | undefined
  readonly ablation: boolean
  readonly keepFolder: string | undefined
  readonly json: boolean
  readonly htmlFile: string | undefined
  readonly historyFile: string | undefined
}

export const HELP = `holdfast demo: run four services under faults, without and with Holdfast, and compare what broke

Usage: holdfast demo [options]

  --orders N         orders that customers place; default 1000, with --ablation 300
  --seed N           seed of the workload and of the faults; default 1
  --faults LEVEL     none, default or heavy; default "default", with --ablation "heavy"
  --flow NAME        another way through the system, with options of its own: two-phase (holdfast demo --flow NAME --help)
  --kill-at NAMES    end each service's first life at the first of these failpoints, its second at the second, and
                     so on (Holdfast only), as a crash at that very line: inbox.handle.worked,outbox.relay.published
  --store URL        postgres://…: five databases on that server, removed at the end; default: SQLite files
  --only MODE        run only "holdfast" or only "naive"
  --without NAME     run with Holdfast less one mechanism: ${MECHANISMS.join(', ')}
  --ablation         run with Holdfast less each mechanism in turn, and say what each one prevents
  --keep DIR         keep the databases (files in DIR; on PostgreSQL the databases stay)
  --html FILE        write the result as one page, with the faults on a time line
  --history FILE     write what customers did and saw as JSON lines
  --json             print one JSON object on standard output
  --verbose          show the stack of an error
  --help             show this text

Examples:
  holdfast demo
  holdfast demo --orders 200 --seed 7 --html demo.html
  holdfast demo --without inbox
  holdfast demo --ablation --json
  holdfast demo --store postgres://postgres@localhost/postgres

Exit codes: 0 the run with Holdfast has no anomaly and everything reached an end (and, under faults, the naive run
has some; with --ablation, each mechanism was needed); 1 otherwise; 64 wrong usage; 130 interrupted.
`

/** Wrong usage; the message is one sentence. */
export class UsageError extends Error {}

/** @throws UsageError */
export function readOptions(argv: readonly string[]): DemoOptions {
  let values: Record<string, string | boolean | undefined>
  try {
    ;({ values } = parseArgs({
      args: [...argv],
      strict: true,
      options: {
        orders: { type: 'string' },
        seed: { type: 'string' },
        faults: { type: 'string' },
        'kill-at': { type: 'string' },
        store: { type: 'string' },
        only: { type: 'string' },
        without: { type: 'string' },
        ablation: { type: 'boolean' },
        keep: { type: 'string' },
        html: { type: 'string' },
        history: { type: 'string' },
        json: { type: 'boolean' },
        verbose: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }) as { values: Record<string, string | boolean | undefined> })
  } catch (error) {
    const [sentence = ''] = (error as Error).message.split(/[.\n]/)
    throw new UsageError(
      `${sentence[0]?.toLowerCase() ?? ''}${sentence.slice(1)}: run "holdfast demo --help"`,
    )
  }
  const text = (name: string): string | undefined => values[name] as string | undefined
  const ablation = values.ablation === true
  const only = oneOf('only', text('only'), ['holdfast', 'naive'] as const)
  const without = oneOf('without', text('without'), MECHANISMS)
  if (ablation && (only !== undefined || without !== undefined))
    throw new UsageError('--ablation runs every mechanism by itself: leave out --only and --without')
  if (ablation && text('html') !== undefined)
    throw new UsageError('--html shows one comparison: leave out --ablation')
  if (without !== undefined && only === 'naive')
    throw new UsageError('--without takes a mechanism from the run with Holdfast: leave out --only naive')
  return {
    help: values.help === true,
    verbose: values.verbose === true,
    orders: whole('orders', text('orders') ?? (ablation ? '300' : '1000'), 1, 100_000),
    seed: whole('seed', text('seed') ?? '1', 0, 2 ** 32 - 2),
    faults:
      oneOf('faults', text('faults'), Object.keys(FAULT_LEVELS) as FaultLevel[]) ??
      (ablation ? 'heavy' : 'default'),
    killAt: names('kill-at', text('kill-at')),
    postgresUrl: postgresUrl(text('store')),
    only,
    without,
    ablation,
    keepFolder: text('keep'),
    json: values.json === true,
    htmlFile: text('html'),
    historyFile: text('history'),
  }
}

function whole(name: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= min && value <= max) return value
  throw new UsageError(`--${name} must be a whole number from ${min} to ${max}, got "${text}"`)
}

function names(name: string, text: string | undefined): string[] {
  if (text === undefined) return []
  const list = text.split(',').map((part) => part.trim())
  if (list.every((part) => /^[a-z][a-z.-]*$/.test(part))) return list
  throw new UsageError(`--${name} must be names of failpoints with commas between them, got "${text}"`)
}

function oneOf<Choice extends string>(
  name: string,
  text: string | undefined,
  choices: readonly Choice[],
): Choice | undefined {
  if (text === undefined || choices.includes(text as Choice)) return text as Choice | undefined
  throw new UsageError(`--${name} must be one of ${choices.join(', ')}, got "${text}"`)
}

function postgresUrl(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  if (/^postgres(ql)?:\/\//i.test(text) && URL.canParse(text)) return text
  // The text may hold a password, so it is not repeated.
  throw new UsageError('--store must be postgres://user@host/database; leave it out for SQLite files')
}
