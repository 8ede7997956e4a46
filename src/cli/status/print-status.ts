import type { LeaseInfo } from '../../lease/list.ts'
import { printAge } from '../age.ts'
import { printStepMs } from '../sagas/figures.ts'
import { oneLine } from '../sagas/one-line.ts'
import { alignColumns } from '../text-table.ts'
import type { Rates } from './measure-rates.ts'
import type { Status } from './read-status.ts'

/** The status for people. Pure. */
export function printStatus(status: Status, rates: Rates | undefined): string {
  const { outboxes, queueGroups, retried, leases, deadLetters, twoPhase, prepared } = status
  const sections = [
    section(
      'outbox: nothing waits',
      ['outbox', 'backlog', 'lag', 'failing', 'later'],
      outboxes.map((o) => [o.name, `${o.backlog}`, age(o), `${o.failing}`, `${o.later}`]),
    ),
    rates === undefined
      ? ''
      : `published ${rates.publishedPerSecond}/s, relayed ${rates.relayedPerSecond}/s, over ${printAge(rates.overMs)}\n`,
    section(
      '',
      ['queue topic', 'group', 'backlog', 'lag'],
      queueGroups.map((g) => [g.topic, g.group, `${g.backlog}`, age(g)]),
    ),
    section(
      '',
      ['retried by', 'messages', 'attempts at most'],
      retried.map((r) => [r.scope, `${r.messages}`, `${r.attemptsMax}`]),
    ),
    section('leases: none', ['lease scope', 'holder', 'names', 'epoch', 'left'], leaseRows(leases)),
    section(
      'dead letters: none',
      ['dead letters of', 'topic', 'count', 'oldest'],
      deadLetters.map((d) => [d.source, d.topic, `${d.count}`, printAge(d.oldestAgeMs)]),
    ),
    section(
      '',
      ['two-phase log', 'open decisions', 'oldest'],
      twoPhase.map((t) => [t.log, `${t.open}`, t.open === 0 ? '-' : printAge(t.oldestAgeMs)]),
    ),
    prepared.count === 0
      ? ''
      : `prepared transactions: ${prepared.count}, the oldest for ${printAge(prepared.oldestAgeMs)}\n`,
    oldTwoPhase(status),
    ...printSagas(status.sagas),
  ]
  return sections.filter((text) => text !== '').join('\n')
}

/** What a coordinator prepares is settled within seconds, so what is older has been left behind. */
const OLD_PREPARED_MS = 60_000

function oldTwoPhase({ twoPhase, prepared }: Status): string {
  const open = Math.max(0, ...twoPhase.map((t) => (t.open > 0 ? t.oldestAgeMs : 0)))
  return Math.max(open, prepared.oldestAgeMs) < OLD_PREPARED_MS
    ? ''
    : 'WARNING: a two-phase transaction was left behind and keeps its locks: is a recovery running, and every participant up? See "holdfast two-phase list"\n'
}

/** One line of figures, those that wait for a person, and what keeps the others waiting. */
function printSagas(sagas: Status['sagas']): string[] {
  if (sagas === undefined) return []
  const { inFlight, stuck, oldestAgeMs, stepMs, stuckSagas } = sagas
  const oldest = inFlight + stuck === 0 ? '' : `, the oldest is ${printAge(oldestAgeMs)} old`
  const line = `sagas: ${inFlight} in flight, ${stuck} stuck${oldest}${printStepMs(stepMs)}\n`
  return [
    line,
    section(
      '',
      ['stuck saga', 'id', 'age', 'reason'],
      stuckSagas.map((saga) => [saga.name, saga.id, printAge(saga.ageMs), oneLine(saga.reason ?? '')]),
    ),
    ...sagaTroubles(sagas).map((text) => `WARNING: ${text}\n`),
  ]
}

/** What no runner will mend by itself. Pure. */
function sagaTroubles({ unheld, overdue }: NonNullable<Status['sagas']>): string[] {
  return [
    ...(unheld > 0
      ? [`sagas in partitions that no runner holds: ${unheld}; is a runner of their group running?`]
      : []),
    ...(overdue > 0
      ? [`sagas that are due and not taken up: ${overdue}; does a runner know their names, and has it room?`]
      : []),
  ]
}

function age({ backlog, oldestAgeMs }: { backlog: number; oldestAgeMs: number }): string {
  return backlog === 0 ? '-' : printAge(oldestAgeMs)
}

function section(none: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return none === '' ? '' : `${none}\n`
  return alignColumns([head, ...rows])
    .map((line) => `${line}\n`)
    .join('')
}

/** One line for all that a holder holds in a scope: a relay alone holds sixteen partitions. Ended ones are not shown. */
function leaseRows(leases: readonly LeaseInfo[]): string[][] {
  const groups = new Map<string, LeaseInfo[]>()
  for (const lease of leases.filter((l) => l.running)) {
    const key = JSON.stringify([lease.scope, lease.owner])
    groups.set(key, [...(groups.get(key) ?? []), lease])
  }
  return [...groups.values()].map((group) => {
    const [{ scope, owner }] = group as [LeaseInfo]
    const epochs = group.map((l) => l.epoch).sort((a, b) => (a < b ? -1 : 1))
    const [first, last] = [epochs[0], epochs.at(-1)]
    const names = group.length <= 3 ? group.map((l) => l.name).join(', ') : `${group.length} of them`
    return [
      scope,
      owner,
      names,
      first === last ? `${first}` : `${first} to ${last}`,
      printAge(Math.min(...group.map((l) => l.leftMs))),
    ]
  })
}
