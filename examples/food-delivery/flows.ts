import { UsageError } from './arguments.ts'
import type { Io } from './main.ts'

/** Another way through the food-delivery system, with options and an audit of its own. */
export interface Flow {
  /** Reads its own arguments, without `--flow NAME`, and gives the exit code. */
  main(argv: readonly string[], io: Io, signal: AbortSignal): Promise<number>
}

const FLOWS: Readonly<Record<string, () => Promise<Flow>>> = {
  replicas: () => import('./replicas/main.ts'),
  saga: () => import('./saga/main.ts'),
  'two-phase': () => import('./two-phase/main.ts'),
}

export const FLOW_NAMES = Object.keys(FLOWS)

/**
 * The flow that `--flow NAME` asks for, and the arguments without it; undefined for the messages, which is the default.
 * @throws UsageError
 */
export async function readFlow(
  argv: readonly string[],
): Promise<{ readonly flow: Flow; readonly argv: readonly string[] } | undefined> {
  const at = argv.findIndex((argument) => argument === '--flow' || argument.startsWith('--flow='))
  if (at < 0) return undefined
  const [, given] = /^--flow=(.*)$/s.exec(argv[at] as string) ?? []
  const name = given ?? argv[at + 1]
  const load = FLOWS[name ?? '']
  if (load === undefined) {
    throw new UsageError(`--flow must be one of ${FLOW_NAMES.join(', ')}, got "${name ?? ''}"`)
  }
  return { flow: await load(), argv: argv.toSpliced(at, given === undefined ? 2 : 1) }
}
