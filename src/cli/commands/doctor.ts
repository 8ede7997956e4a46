import { allTables } from '../../tables/index.ts'
import { parseAge } from '../age.ts'
import { type Command, EXIT, flag, type Given, textValue } from '../command.ts'
import { judgeClock, measureClock } from '../doctor/clock-difference.ts'
import type { Finding } from '../doctor/finding.ts'
import { judgePostgres } from '../doctor/judge-postgres.ts'
import { judgeLosses, judgeRevisions } from '../doctor/judge-revisions.ts'
import { readPostgresFacts } from '../doctor/postgres-facts.ts'
import { judgeProxy, readProxyFacts } from '../doctor/proxy.ts'
import { judgeSagas, readSagaFacts } from '../doctor/sagas.ts'
import { judgeSqlite, readSqliteFacts } from '../doctor/sqlite-findings.ts'
import { judgeTwoPhase, readTwoPhaseFacts } from '../doctor/two-phase.ts'
import { type OpenedStore, STORE_OPTIONS, withStore } from '../open-store.ts'
import { readLosses, readRevisions } from '../revisions.ts'
import { wholeNumber } from '../whole-number.ts'

/** How long the leases of a relay last unless told, the shortest of the defaults. */
const LEASE_MS = 5_000

export const doctor: Command = {
  name: 'doctor',
  summary: 'look for tables, rights, clocks and settings that will hurt',
  description: [
    'Changes nothing. Ends with 1 when it found a problem; warnings count too with --strict.',
    'Run it as the role that the application uses: rights and timeouts belong to the role.',
  ].join('\n'),
  options: {
    ...STORE_OPTIONS,
    strict: { type: 'boolean', summary: 'end with 1 for warnings as well' },
    lease: {
      type: 'string',
      value: 'AGE',
      summary: 'the shortest `ttlMs` that you give a relay or consumer; default 5s',
    },
    'pool-size': {
      type: 'string',
      value: 'N',
      summary: 'the `max` of your pool, to compare with max_connections',
    },
    processes: { type: 'string', value: 'N', summary: 'how many processes have such a pool; default 1' },
  },
  examples: [
    { line: 'holdfast doctor --store sqlite:shop.db', does: 'check a file' },
    {
      line: 'holdfast doctor --store postgres://app@db/shop --pool-size 10 --processes 8',
      does: 'check a server, and whether it has connections enough for your deployment',
    },
    {
      line: 'holdfast doctor --strict --json',
      does: 'a gate before a deploy; the store comes from HOLDFAST_STORE',
    },
  ],

  async run(given) {
    const plan = readPlan(given)
    return withStore(
      given,
      async (opened) => {
        const findings = await examine(opened, plan)
        const bad = findings.filter(
          (f) => f.level === 'problem' || (flag(given, 'strict') && f.level === 'warning'),
        )
        const exitCode = bad.length > 0 ? EXIT.problem : EXIT.ok
        return {
          exitCode,
          text: `${opened.label}\n${findings.map((f) => print(f, given.io.colour)).join('')}${summary(findings)}\n`,
          data: { store: opened.label, ok: exitCode === EXIT.ok, findings },
        }
      },
      { anyRevision: true },
    )
  },
}

async function examine(opened: OpenedStore, { schema, ...plan }: Plan): Promise<Finding[]> {
  const { store } = opened
  // First, since it goes through the store: what makes it fail is explained there.
  const found = await readRevisions(store, allTables)
  const revisions = [...judgeRevisions(found), ...judgeLosses(await readLosses(store, allTables, found))]
  const clock = judgeClock(await measureClock(store))
  const twoPhase = judgeTwoPhase(await readTwoPhaseFacts(store))
  const sagas = judgeSagas(await readSagaFacts(store))
  if (opened.kind === 'sqlite') {
    return [
      ...revisions,
      clock,
      ...twoPhase,
      ...sagas,
      ...judgeSqlite(await readSqliteFacts(store, opened.path)),
    ]
  }
  const proxy = judgeProxy(await readProxyFacts(opened.pool))
  const facts = await readPostgresFacts(opened.pool, { prefix: store.tableName(''), schema })
  return [...revisions, clock, ...twoPhase, ...sagas, proxy, ...judgePostgres(facts, plan)]
}

interface Plan {
  readonly leaseMs: number
  readonly poolConnections: number | undefined
  readonly schema: string | undefined
}

/** What the user says of the deployment. @throws CliError, usage */
function readPlan(given: Given): Plan {
  const lease = textValue(given, 'lease')
  const poolSize = wholeNumber(given, 'pool-size', COUNT)
  const processes = wholeNumber(given, 'processes', COUNT) ?? 1
  return {
    leaseMs: lease === undefined ? LEASE_MS : parseAge('lease', lease),
    poolConnections: poolSize === undefined ? undefined : poolSize * processes,
    schema: textValue(given, 'schema'),
  }
}

/** More than any server takes. */
const COUNT = { min: 1, max: 100_000 }

const LABELS = {
  ok: ['ok     ', 32],
  note: ['note   ', 36],
  warning: ['WARNING', 33],
  problem: ['PROBLEM', 31],
} as const

function print({ level, found, advice }: Finding, colour: boolean): string {
  const [label, code] = LABELS[level]
  const shown = colour ? `\u001b[${code}m${label}\u001b[0m` : label
  return `  ${shown}  ${found}\n${advice === undefined ? '' : `           ${advice}\n`}`
}

function summary(findings: readonly Finding[]): string {
  const count = (level: Finding['level'], one: string, many = `${one}s`): string => {
    const n = findings.filter((f) => f.level === level).length
    return `${n} ${n === 1 ? one : many}`
  }
  return `${count('problem', 'problem')}, ${count('warning', 'warning')}, ${count('note', 'note')}, ${count('ok', 'check passed', 'checks passed')}`
}
