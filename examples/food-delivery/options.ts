import { Arguments, COMMON_OPTIONS, type CommonOptions, UsageError } from './arguments.ts'
import type { Anomalies } from './audit/audit.ts'
import { MECHANISMS, type Mechanism, PREVENTS } from './holdfast/without.ts'
import type { RunOptions } from './run/run.ts'

/** A way in which orders go through the four services with Holdfast, and what it can go without. */
export interface Edition<Mechanism extends string> {
  readonly help: string
  /** The command that prints it. */
  readonly helpCommand: string
  readonly orders: number
  readonly version: (without: Mechanism | undefined) => RunOptions['version']
  /** Each mechanism, and the anomaly that it keeps from happening. */
  readonly prevents: Readonly<Record<Mechanism, keyof Anomalies>>
}

export interface DemoOptions<Mechanism extends string> extends CommonOptions<Mechanism> {
  readonly killAt: readonly string[]
  readonly postgresUrl: string | undefined
  readonly ablation: boolean
  readonly keepFolder: string | undefined
  readonly htmlFile: string | undefined
  readonly historyFile: string | undefined
}

/** The help of an edition: what is its own between what all have. */
export function helpOf(own: {
  readonly title: string
  readonly usage: string
  readonly orders: number
  /** Options that only this edition has, as lines. */
  readonly options?: string
  readonly mechanisms: readonly string[]
  readonly examples: readonly string[]
}): string {
  return `${own.title}

Usage: ${own.usage} [options]

  --orders N         orders that customers place; default ${own.orders}, with --ablation 300
  --seed N           seed of the workload and of the faults; default 1
  --faults LEVEL     none, default or heavy; default "default", with --ablation "heavy"
${own.options ?? ''}  --kill-at NAMES    end each service's first life at the first of these failpoints, its second at the second, and
                     so on (Holdfast only), as a crash at that very line: inbox.handle.worked,outbox.relay.published
  --store URL        postgres://…: five databases on that server, removed at the end; default: SQLite files
  --only MODE        run only "holdfast" or only "naive"
  --without NAME     run with Holdfast less one mechanism: ${own.mechanisms.join(', ')}
  --ablation         run with Holdfast less each mechanism in turn, and say what each one prevents
  --keep DIR         keep the databases (files in DIR; on PostgreSQL the databases stay)
  --html FILE        write the result as one page, with the faults on a time line
  --history FILE     write what customers did and saw as JSON lines
  --json             print one JSON object on standard output
  --verbose          show the stack of an error
  --help             show this text

Examples:
${own.examples.map((line) => `  ${line}\n`).join('')}
Exit codes: 0 the run with Holdfast has no anomaly and everything reached an end (and, under faults, the naive run
has some; with --ablation, each mechanism was needed); 1 otherwise; 64 wrong usage; 130 interrupted.
`
}

const OPTIONS = {
  ...COMMON_OPTIONS,
  'kill-at': { type: 'string' },
  store: { type: 'string' },
  ablation: { type: 'boolean' },
  keep: { type: 'string' },
  html: { type: 'string' },
  history: { type: 'string' },
} as const

const MESSAGES_ORDERS = 1000

/** Each service tells the others by messages what has happened. */
export const MESSAGES: Edition<Mechanism> = {
  help: helpOf({
    title: 'holdfast demo: run four services under faults, without and with Holdfast, and compare what broke',
    usage: 'holdfast demo',
    orders: MESSAGES_ORDERS,
    options:
      '  --flow NAME        another way through the system, with options of its own: replicas, saga, two-phase (holdfast demo --flow NAME --help)\n',
    mechanisms: MECHANISMS,
    examples: [
      'holdfast demo',
      'holdfast demo --orders 200 --seed 7 --html demo.html',
      'holdfast demo --without inbox',
      'holdfast demo --ablation --json',
      'holdfast demo --store postgres://postgres@localhost/postgres',
    ],
  }),
  helpCommand: 'holdfast demo --help',
  orders: MESSAGES_ORDERS,
  version: (without) => ({ name: 'holdfast', without }),
  prevents: PREVENTS,
}

/** @throws UsageError */
export function readOptions<Mechanism extends string>(
  argv: readonly string[],
  edition: Edition<Mechanism>,
): DemoOptions<Mechanism> {
  const given = new Arguments(argv, OPTIONS, edition.helpCommand)
  const ablation = given.flag('ablation')
  const common = given.common({
    orders: ablation ? 300 : edition.orders,
    faults: ablation ? 'heavy' : 'default',
    mechanisms: Object.keys(edition.prevents) as Mechanism[],
  })
  const htmlFile = given.text('html')
  if (ablation && (common.only !== undefined || common.without !== undefined))
    throw new UsageError('--ablation runs every mechanism by itself: leave out --only and --without')
  if (ablation && htmlFile !== undefined)
    throw new UsageError('--html shows one comparison: leave out --ablation')
  return {
    ...common,
    killAt: given.failpoints('kill-at'),
    postgresUrl: given.postgresUrl('store', 'SQLite files'),
    ablation,
    keepFolder: given.text('keep'),
    htmlFile,
    historyFile: given.text('history'),
  }
}
