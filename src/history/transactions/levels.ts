import { checkArguments, isText } from '../../core/options.ts'
/** Isolation and consistency levels, weakest first. `docs/explanation/anomalies.md` gives each one's definition and source. */
export const LEVELS = [
  'read-uncommitted',
  'read-committed',
  'read-atomic',
  'causal',
  'snapshot-isolation',
  'repeatable-read',
  'serializable',
  'strong-session-snapshot-isolation',
  'strong-snapshot-isolation',
  'strong-session-serializable',
  'strict-serializable',
] as const
export type Level = (typeof LEVELS)[number]

/** Other names of the levels: Adya's, and those of Jepsen's tools. */
const ALSO: ReadonlyMap<string, Level> = new Map([
  ['pl-1', 'read-uncommitted'],
  ['pl-2', 'read-committed'],
  ['causal-cerone', 'causal'],
  ['pl-si', 'snapshot-isolation'],
  ['pl-2.99', 'repeatable-read'],
  ['pl-3', 'serializable'],
  ['conflict-serializable', 'serializable'],
  ['pl-ss', 'strict-serializable'],
  ['strong-serializable', 'strict-serializable'],
])

/** The level of a name, however it is written: `PL-3`, `READ_COMMITTED`, `:snapshot-isolation`. */
export function levelNamed(name: string): Level | undefined {
  checkArguments('levelNamed', isText('name', name))
  const plain = name.toLowerCase().replace(/^:/, '').replaceAll('_', '-')
  return LEVELS.find((level) => level === plain) ?? ALSO.get(plain)
}

/** What a level forbids. */
export interface LevelRules {
  /** Findings that need no cycle. */
  readonly findings: readonly string[]
  /** Classes of cycles (see `cycles.ts`). */
  readonly cycles: readonly string[]
  /** How cycles are looked for: in all edges, only in those without neighbouring rw edges, or by forced orders. */
  readonly method: 'dependencies' | 'snapshot' | 'read-committed' | 'read-atomic' | 'causal'
  /** Whether the session's order counts: always, never, or as the history's definition has it. */
  readonly session: boolean | 'by-definition'
  readonly realTime: boolean
}

/** No database at any level should show these: values from nowhere, and a transaction that does not see itself. */
const NEVER = ['garbage', 'duplicate', 'internal']
const COMMITTED = [...NEVER, 'G1a', 'G1b', 'future-read', 'incompatible-order']
const ATOMIC = [...COMMITTED, 'non-repeatable-read']
const UPDATES = [...ATOMIC, 'lost-update']
const G1 = ['G0', 'G1c']
const SNAPSHOT = [...G1, 'G-single', 'G-nonadjacent']
const ALL = [...SNAPSHOT, 'G2-item']

export const LEVEL_RULES: Readonly<Record<Level, LevelRules>> = {
  'read-uncommitted': {
    findings: NEVER,
    cycles: ['G0'],
    method: 'dependencies',
    session: false,
    realTime: false,
  },
  'read-committed': {
    findings: COMMITTED,
    cycles: G1,
    method: 'read-committed',
    session: 'by-definition',
    realTime: false,
  },
  'read-atomic': {
    findings: ATOMIC,
    cycles: G1,
    method: 'read-atomic',
    session: 'by-definition',
    realTime: false,
  },
  causal: { findings: ATOMIC, cycles: G1, method: 'causal', session: true, realTime: false },
  'snapshot-isolation': {
    findings: UPDATES,
    cycles: SNAPSHOT,
    method: 'snapshot',
    session: 'by-definition',
    realTime: false,
  },
  'repeatable-read': {
    findings: UPDATES,
    cycles: ALL,
    method: 'dependencies',
    session: 'by-definition',
    realTime: false,
  },
  serializable: {
    findings: UPDATES,
    cycles: ALL,
    method: 'dependencies',
    session: 'by-definition',
    realTime: false,
  },
  'strong-session-snapshot-isolation': {
    findings: UPDATES,
    cycles: SNAPSHOT,
    method: 'snapshot',
    session: true,
    realTime: false,
  },
  'strong-snapshot-isolation': {
    findings: UPDATES,
    cycles: SNAPSHOT,
    method: 'snapshot',
    session: true,
    realTime: true,
  },
  'strong-session-serializable': {
    findings: UPDATES,
    cycles: ALL,
    method: 'dependencies',
    session: true,
    realTime: false,
  },
  'strict-serializable': {
    findings: UPDATES,
    cycles: ALL,
    method: 'dependencies',
    session: true,
    realTime: true,
  },
}
