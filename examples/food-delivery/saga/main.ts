/** `holdfast demo --flow saga`: the same orders, each of them one saga in the order service. */
import { runDemo } from '../demo.ts'
import type { Io } from '../main.ts'
import type { Edition } from '../options.ts'
import { SAGA_PREVENTS, type SagaMechanism } from './without.ts'

const HELP = `holdfast demo --flow saga: the same orders under the same faults, each of them one saga in the order service

The saga calls payment over HTTP, and restaurant and delivery by message. The order service has two processes: besides being
killed they are stopped now and then for longer than their leases, and go on when the other one has taken over.

Usage: holdfast demo --flow saga [options]

  --orders N         orders that customers place; default 500, with --ablation 300
  --seed N           seed of the workload and of the faults; default 1
  --faults LEVEL     none, default or heavy; default "default", with --ablation "heavy"
  --kill-at NAMES    end each service's first life at the first of these failpoints, its second at the second, and so on
  --store URL        postgres://…: five databases on that server, removed at the end; default: SQLite files
  --only MODE        run only "holdfast" or only "naive"
  --without NAME     run with Holdfast less one mechanism: ${Object.keys(SAGA_PREVENTS).join(', ')}
  --ablation         run with Holdfast less each mechanism in turn, and say what each one prevents
  --keep DIR         keep the databases (files in DIR; on PostgreSQL the databases stay)
  --html FILE        write the result as one page, with the faults on a time line
  --history FILE     write what customers did and saw as JSON lines
  --json             print one JSON object on standard output
  --verbose          show the stack of an error
  --help             show this text

Exit codes: 0 the run with Holdfast has no anomaly and everything reached an end (and, under faults, the naive run
has some; with --ablation, each mechanism was needed); 1 otherwise; 64 wrong usage; 130 interrupted.
`

const SAGAS: Edition<SagaMechanism> = {
  help: HELP,
  helpCommand: 'holdfast demo --flow saga --help',
  orders: 500,
  version: (without) => ({ name: 'saga', without }),
  prevents: SAGA_PREVENTS,
}

export function main(argv: readonly string[], io: Io, signal: AbortSignal): Promise<number> {
  return runDemo(SAGAS, argv, io, signal)
}
