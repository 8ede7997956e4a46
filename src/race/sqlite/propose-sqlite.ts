import {
  againText,
  type Finding,
  NO_DEADLOCK,
  NOTHING,
  type Proposal,
  restartable,
  retry,
  uniqueConstraint,
  withoutTransactions,
  wrappedText,
} from '../remedy/propose.ts'
import { factsOf, type TaskFacts } from '../remedy/task-facts.ts'

const BUSY = 'SQLITE_BUSY'

/** Each remedy of the field as SQLite has it. Pure. */
export function proposeSqlite(finding: Finding, tasks: readonly string[]): Proposal[] {
  const facts = tasks.map((task) => factsOf(task, finding.steps))
  return [
    immediate(finding, facts),
    {
      remedy: 'version check',
      reason: 'SQLite has no hidden version of a row to compare: the code has to compare a column of its own',
    },
    serializable(facts),
    uniqueConstraint(finding),
    orderedLocking(finding),
    ...(finding.deadlock === undefined ? [] : [retry(facts, BUSY)]),
  ]
}

/** What takes the place of a row lock: the file is taken before the first read. */
function immediate({ deadlock }: Finding, facts: readonly TaskFacts[]): Proposal {
  const remedy = 'immediate transaction'
  if (deadlock !== undefined)
    return {
      remedy,
      reason: 'each transaction of the circle has its file already: what is wrong is their order',
    }
  const several = facts.find(({ transactions }) => transactions > 1)?.task
  if (several !== undefined)
    return {
      remedy,
      reason: `${several} has several transactions: what it decides by has to be read in the one that writes`,
    }
  const wrapped = withoutTransactions(facts)
  return {
    remedy,
    trials: [
      {
        ...NOTHING,
        how: `every transaction IMMEDIATE${wrappedText(wrapped)}`,
        wrapped,
        begin: 'begin immediate',
      },
    ],
  }
}

/** Every transaction of SQLite is: what is to be tried is one where there is none. */
function serializable(facts: readonly TaskFacts[]): Proposal {
  const remedy = 'serializable'
  const wrapped = withoutTransactions(facts)
  if (wrapped.length === 0) return { remedy, reason: 'every transaction of SQLite is' }
  const again = [...new Set([...wrapped, ...restartable(facts)])]
  return {
    remedy,
    trials: [
      {
        how: `${wrappedText(wrapped).slice(2)}${againText(again, BUSY)}`,
        wrapped,
        begin: 'begin',
        again,
        againOn: [BUSY],
      },
    ],
  }
}

function orderedLocking({ deadlock }: Finding): Proposal {
  const reason =
    deadlock === undefined
      ? NO_DEADLOCK
      : 'the code has to be changed: let every task begin its transactions on the files in the same order'
  return { remedy: 'ordered locking', reason }
}
