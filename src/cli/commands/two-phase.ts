import { isHoldfastError } from '../../core/errors.ts'
import { type Store, sql } from '../../store/index.ts'
import {
  createTwoPhase,
  type DecisionRow,
  type RecoveryReport,
  type Share,
  type TwoPhase,
} from '../../two-phase/index.ts'
import { parseAge, printAge } from '../age.ts'
import { CliError, usageError } from '../cli-error.ts'
import { type Command, EXIT, flag, type Given, type OptionSpec, textValue } from '../command.ts'
import { openStoreAt, STORE_OPTIONS, withStore } from '../open-store.ts'
import { alignColumns } from '../text-table.ts'

const LOG_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  ...STORE_OPTIONS,
  store: {
    type: 'string',
    value: 'URL',
    summary: 'the store with the log of decisions; default: the environment variable HOLDFAST_STORE',
  },
  'log-name': {
    type: 'string',
    value: 'NAME',
    summary: 'the `name` given to createTwoPhase; default default',
  },
}

const ABOUT_PARTICIPANTS =
  'Participants are given as NAME=postgres://…, with the names that createTwoPhase knows them by, and as their role.'

const list: Command = {
  name: 'two-phase list',
  summary: 'list decisions that are not carried out, and what is prepared',
  description: `${ABOUT_PARTICIPANTS}\nReads only.`,
  positionals: ['PARTICIPANT...?'],
  options: {
    ...LOG_OPTIONS,
    all: { type: 'boolean', summary: 'also decisions that every participant has carried out' },
  },
  examples: [
    { line: 'holdfast two-phase list --store postgres://app@db/orders', does: 'the decisions of this log' },
    {
      line: 'holdfast two-phase list payments=postgres://app@pay/payments',
      does: 'and what that database holds prepared; the log comes from HOLDFAST_STORE',
    },
  ],
  run: (given) =>
    withTwoPhase(given, given.positionals, async ({ twoPhase, label }) => {
      const decisions = await twoPhase.decisions({ finished: flag(given, 'all') })
      const { shares, unreachable } = await twoPhase.prepared()
      const known = await decisionsOf(twoPhase, shares)
      return {
        exitCode: unreachable.length > 0 ? EXIT.unreachable : EXIT.ok,
        text: `${label}\n\n${printDecisions(decisions)}\n${printShares(shares, known)}${printUnreachable(unreachable)}`,
        data: { store: label, decisions, prepared: shares.map((s) => toData(s, known)), unreachable },
      }
    }),
}

const show: Command = {
  name: 'two-phase show',
  summary: 'show one two-phase transaction: its decision, and who holds a share of it',
  description: ABOUT_PARTICIPANTS,
  positionals: ['ID', 'PARTICIPANT...?'],
  options: LOG_OPTIONS,
  examples: [
    {
      line: 'holdfast two-phase show 3f0c5d1e9a7b42c68d10aa55 payments=postgres://app@pay/payments',
      does: 'the id is in the error, the warning, and the name of the prepared transaction',
    },
  ],
  run: (given) =>
    withTwoPhase(given, given.positionals.slice(1), async ({ twoPhase }) => {
      const id = given.positionals[0] as string
      const [decision] = await twoPhase.decisions({ ids: [id], finished: true })
      const { shares, unreachable } = await twoPhase.prepared()
      const own = shares.filter((share) => share.id === id)
      if (decision === undefined && own.length === 0 && unreachable.length === 0) {
        throw new CliError(
          'NOT_FOUND',
          EXIT.problem,
          `nothing is known of "${id}": it was carried out and forgotten, or never decided, which means that it was rolled back`,
        )
      }
      const known = new Map(decision === undefined ? [] : [[id, decision]])
      return {
        exitCode: EXIT.ok,
        text: `${printDecisions(decision === undefined ? [] : [decision])}\n${printShares(own, known)}${printUnreachable(unreachable)}`,
        data: { id, decision: decision ?? null, prepared: own.map((s) => toData(s, known)), unreachable },
      }
    }),
}

const recover: Command = {
  name: 'two-phase recover',
  summary: 'settle what a coordinator has left behind',
  description: [
    'Carries out decisions, and aborts what is prepared without one and older than --in-doubt. Safe beside running',
    'coordinators and recoverers. Touches only transactions of this log, prepared by the role given, in the database given.',
    ABOUT_PARTICIPANTS,
    'Ends with 1 when something is left over, with 2 when a participant cannot be reached.',
  ].join('\n'),
  positionals: ['PARTICIPANT', 'PARTICIPANT...?'],
  options: {
    ...LOG_OPTIONS,
    'in-doubt': { type: 'string', value: 'AGE', summary: 'abort what is undecided for longer; default 15s' },
    'dry-run': { type: 'boolean', summary: 'say what would be done, and do nothing' },
  },
  examples: [
    {
      line: 'holdfast two-phase recover payments=postgres://app@pay/payments stock=postgres://app@stock/stock --dry-run',
      does: 'what would be committed, and what rolled back?',
    },
    { line: 'holdfast two-phase recover payments=postgres://app@pay/payments', does: 'do it' },
  ],
  run(given) {
    const age = textValue(given, 'in-doubt')
    const inDoubtMs = age === undefined ? 15_000 : parseAge('in-doubt', age)
    return withTwoPhase(given, given.positionals, async ({ twoPhase }) => {
      if (flag(given, 'dry-run')) return planned(twoPhase, inDoubtMs)
      const report = await twoPhase.recover({ inDoubtMs })
      const left = report.pending.filter((p) => !report.unreachable.includes(p.participant))
      return {
        exitCode: report.unreachable.length > 0 ? EXIT.unreachable : left.length > 0 ? EXIT.problem : EXIT.ok,
        text: `committed ${report.committed}, rolled back ${report.rolledBack}, too young to judge ${report.waiting}\n${printPending(report)}${printUnreachable(report.unreachable)}`,
        data: {
          ...report,
          pending: report.pending.map(({ error, ...p }) => ({ ...p, error: messageOf(error) })),
          dryRun: false,
        },
      }
    })
  },
}

export const twoPhaseCommands: readonly Command[] = [list, show, recover]

async function planned(twoPhase: TwoPhase, inDoubtMs: number) {
  const { shares, unreachable } = await twoPhase.prepared()
  const known = await decisionsOf(twoPhase, shares)
  const would = shares.map((share) => {
    const decision = known.get(share.id)?.decision
    const action =
      decision === 'commit'
        ? 'commit'
        : decision === 'abort' || share.ageMs >= inDoubtMs
          ? 'roll back'
          : 'wait'
    return { ...toData(share, known), action }
  })
  const rows = would.map((w) => [w.id, w.participant, `would ${w.action}`, printAge(w.ageMs)])
  const table =
    rows.length === 0
      ? ['nothing is prepared']
      : alignColumns([['id', 'participant', 'action', 'age'], ...rows])
  return {
    exitCode: unreachable.length > 0 ? EXIT.unreachable : EXIT.ok,
    text: `${table.join('\n')}\n${printUnreachable(unreachable)}`,
    data: { would, unreachable, dryRun: true },
  }
}

async function withTwoPhase<T>(
  given: Given,
  participants: readonly string[],
  use: (opened: { twoPhase: TwoPhase; label: string }) => Promise<T>,
): Promise<T> {
  const addresses = participants.map(readParticipant)
  const twice = addresses.find(({ name }, i) => addresses.findIndex((a) => a.name === name) !== i)
  if (twice !== undefined) throw usageError(`participant "${twice.name}" is given twice`)
  return withStore(given, async ({ store, label }) => {
    await refuseUnknownLog(store, textValue(given, 'log-name'))
    const opened: { name: string; store: Store; close(): Promise<void> }[] = []
    try {
      for (const { name, url } of addresses) opened.push({ name, ...(await openStoreAt(url, given)) })
      const stores = Object.fromEntries(opened.map((o) => [o.name, o.store]))
      const twoPhase = createTwoPhase(store, {
        // The log has no name of its own here: where it takes part, its own commit decides, and nothing is prepared.
        participants: { ...stores, ...(opened.length === 0 && { log: store }) },
        name: textValue(given, 'log-name') ?? 'default',
        owner: 'holdfast two-phase',
      })
      return await use({ twoPhase, label })
    } finally {
      for (const one of opened) await one.close()
    }
  })
}

/** A name with a slip in it would be answered with "nothing is left". Without a name, a store without a log is one at rest. */
async function refuseUnknownLog(store: Store, name: string | undefined): Promise<void> {
  if (name === undefined) return
  const rows = await store.query<{ name: string }>(
    sql`select name from ${store.table('two_phase_log')} order by name`,
  )
  if (rows.some((row) => row.name === name)) return
  const names = rows.map((row) => `"${row.name}"`).join(', ') || 'none'
  throw new CliError('NOT_FOUND', EXIT.problem, `this store has no log "${name}"; it has ${names}`)
}

function readParticipant(text: string): { name: string; url: string } {
  const [, name, url] = /^([\w.-]{1,100})=(postgres(?:ql)?:\/\/.+)$/i.exec(text) ?? []
  if (name === undefined || url === undefined) {
    const shown = /^[\w.-]+$/.test(text) ? `"${text}"` : 'something else'
    throw usageError(`a participant is given as NAME=postgres://…, got ${shown}`)
  }
  return { name, url }
}

async function decisionsOf(twoPhase: TwoPhase, shares: readonly Share[]): Promise<Map<string, DecisionRow>> {
  const ids = [...new Set(shares.map((share) => share.id))]
  if (ids.length === 0) return new Map()
  const rows = await twoPhase.decisions({ ids, finished: true })
  return new Map(rows.map((row) => [row.id, row]))
}

function toData({ id, participant, gid, ageMs }: Share, known: ReadonlyMap<string, DecisionRow>) {
  return { id, participant, gid, ageMs: Math.round(ageMs), decision: known.get(id)?.decision ?? null }
}

function printDecisions(decisions: readonly DecisionRow[]): string {
  if (decisions.length === 0) return 'decisions: none that is not carried out\n'
  const rows = decisions.map((d) => [
    d.id,
    d.decision,
    d.participants.join(', ') || '-',
    d.finishedAtMs === undefined ? 'open' : 'carried out',
    printAge(d.ageMs),
    d.decidedBy,
  ])
  return `${alignColumns([['decision', 'is', 'participants', 'state', 'age', 'decided by'], ...rows]).join('\n')}\n`
}

function printShares(shares: readonly Share[], known: ReadonlyMap<string, DecisionRow>): string {
  if (shares.length === 0) return 'prepared: nothing\n'
  const rows = shares.map((s) => [
    s.id,
    s.participant,
    known.get(s.id)?.decision ?? 'in doubt',
    printAge(s.ageMs),
    s.gid,
  ])
  return `${alignColumns([['prepared', 'participant', 'decision', 'age', 'name in the database'], ...rows]).join('\n')}\n`
}

function printPending({ pending }: RecoveryReport): string {
  return pending
    .map(
      (p) => `left over: ${p.id} at ${p.participant} (${p.decision ?? 'in doubt'}): ${messageOf(p.error)}\n`,
    )
    .join('')
}

function printUnreachable(names: readonly string[]): string {
  return names.map((name) => `participant "${name}" cannot be reached\n`).join('')
}

function messageOf(error: unknown): string {
  if (isHoldfastError(error)) return `${error.code}: ${error.message}`
  return error instanceof Error ? error.message : 'not asked'
}
