import { canonical } from '../../core/canonical.ts'
import { ConfigError } from '../../core/index.ts'
import { show } from '../show.ts'
import type { Model, ModelOperation } from './model.ts'

/** What was written, by key; a key that nobody wrote has no entry. Keys that are no texts or numbers stand by their canonical text. */
type Registers = ReadonlyMap<unknown, unknown>

/**
 * Registers by key that a transaction reads and writes at one moment, as Knossos' `multi-register`: `txn` with a list of
 * `["r", key, value]` and `["w", key, value]`. `initial` has by key what nobody wrote.
 */
export function multiRegister(initial: unknown = null): Model<Registers> {
  if (typeof initial !== 'object' || Array.isArray(initial)) {
    const problem = `the initial values of multi-register must be an object of keys and values, such as {"x": 0}, got ${show(initial)}`
    throw new ConfigError('check', [problem])
  }
  const heldAtFirst = new Map<unknown, unknown>(Object.entries(initial ?? {}))
  return {
    name: 'multi-register',
    operations: ['txn'],
    init: () => new Map(),
    problem,
    readOnly: ({ input }) => (input as MicroOp[]).every(isRead),
    step(state, { input, output, known }) {
      let next: Map<unknown, unknown> | undefined
      for (const [f, key, value] of (known ? output : input) as MicroOp[]) {
        const at = nameOf(key)
        if (!isRead([f])) {
          next ??= new Map(state)
          next.set(at, value ?? null)
        } else if (known) {
          const now = next ?? state
          const held = now.has(at) ? now.get(at) : (heldAtFirst.get(String(key)) ?? null)
          if (canonical(held) !== canonical(value)) return undefined
        }
      }
      return next ?? state
    },
  }
}

type MicroOp = readonly [f: unknown, key?: unknown, value?: unknown]

const READS = ['r', 'read']
const WRITES = ['w', 'write']

function isRead([f]: MicroOp): boolean {
  return READS.includes(f as string)
}

function nameOf(key: unknown): unknown {
  return typeof key === 'object' ? `\u0000${canonical(key)}` : key
}

function problem({ input, output, known }: ModelOperation): string | undefined {
  if (!isTransaction(input)) {
    return `txn takes a list of ["r", key, value] and ["w", key, value], got ${show(input)}`
  }
  if (!known || output === input) return undefined
  const answers = isTransaction(output) && output.length === input.length && output.every(matches)
  return answers ? undefined : `a txn must answer what it was asked, got ${show(output)} for ${show(input)}`

  function matches(said: MicroOp, i: number): boolean {
    const asked = (input as MicroOp[])[i] as MicroOp
    if (isRead(asked) !== isRead(said) || canonical(asked[1]) !== canonical(said[1])) return false
    return isRead(asked) || canonical(asked[2]) === canonical(said[2])
  }
}

function isTransaction(value: unknown): value is MicroOp[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every(
      (micro) =>
        Array.isArray(micro) &&
        [...READS, ...WRITES].includes(micro[0]) &&
        micro[1] !== undefined &&
        micro[1] !== null,
    )
  )
}
