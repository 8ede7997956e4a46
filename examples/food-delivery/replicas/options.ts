import { Arguments, COMMON_OPTIONS, type CommonOptions } from '../arguments.ts'
import { MISSING, type Missing } from './without.ts'

export const HELP = `holdfast demo --flow replicas: dishes, carts and likes at three sites, each written at all of them

Usage: holdfast demo --flow replicas [options]

Three processes in Berlin, Oslo and Paris, each with a SQLite store of its own. Customers write at all three while sites are
killed and cut off, and messages come twice, late, out of order, or not at all. Then an audit compares what they hold.

  --orders N         operations; default 1500
  --seed N           seed of the operations and of the faults; default 1
  --faults LEVEL     none, default or heavy
  --only MODE        run only "holdfast" or only "naive" (rows with updated_at; the newer one wins)
  --without NAME     run with Holdfast less one mechanism: ${MISSING.join(', ')}
  --json             print one JSON object on standard output
  --verbose          show the stack of an error
  --help             show this text

Exit codes: 0 the run with Holdfast has no anomaly (and, under faults, the naive run has some); 1 otherwise; 64 wrong
usage; 130 interrupted.
`

/** @throws UsageError */
export function readReplicasOptions(argv: readonly string[]): CommonOptions<Missing> {
  const given = new Arguments(argv, COMMON_OPTIONS, 'holdfast demo --flow replicas --help')
  return given.common({ orders: 1500, faults: 'default', mechanisms: MISSING })
}
