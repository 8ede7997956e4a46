import {
  type Conflict,
  type ConflictSide,
  type Decision,
  listConflicts,
  type ReplicaStatus,
  readReplicaStatus,
  showConflict,
} from '../../replica/index.ts'
import { printAge } from '../age.ts'
import { CliError } from '../cli-error.ts'
import { type Command, EXIT, textValue } from '../command.ts'
import { STORE_OPTIONS, withStore } from '../open-store.ts'
import { alignColumns } from '../text-table.ts'
import { readLimit, wholeNumber } from '../whole-number.ts'

const status: Command = {
  name: 'replicas status',
  summary: 'show how old what is read in this store may be, against each replica',
  options: {
    ...STORE_OPTIONS,
    'max-stale-ms': { type: 'string', value: 'N', summary: 'end with 1 when a read may be older' },
  },
  examples: [
    { line: 'holdfast replicas status --store sqlite:berlin.db', does: 'replica berlin and its peers' },
  ],
  run(given) {
    const staleMaxMs = wholeNumber(given, 'max-stale-ms', { min: 0, max: Number.MAX_SAFE_INTEGER })
    return withStore(given, async ({ store }) => {
      const found = await readReplicaStatus(store)
      if (found === undefined) {
        throw new CliError(
          'NOT_FOUND',
          EXIT.problem,
          'this store is no replica yet: nothing was written in one',
        )
      }
      const stale = staleMaxMs !== undefined && (found.staleMs === null || found.staleMs > staleMaxMs)
      return { exitCode: stale ? EXIT.problem : EXIT.ok, text: printStatus(found), data: found }
    })
  },
}

const list: Command = {
  name: 'replicas conflicts list',
  summary: 'list versions that were written apart, and what became of them',
  options: {
    ...STORE_OPTIONS,
    collection: { type: 'string', value: 'NAME', summary: 'of this collection' },
    key: { type: 'string', value: 'KEY', summary: 'of this record' },
    limit: { type: 'string', value: 'N', summary: 'show at most so many; default 100' },
  },
  examples: [{ line: 'holdfast replicas conflicts list --collection cart', does: 'newest first' }],
  run(given) {
    const limit = readLimit(given, 100)
    const [collection, key] = [textValue(given, 'collection'), textValue(given, 'key')]
    return withStore(given, async ({ store }) => {
      const conflicts = await listConflicts(store, {
        limit,
        ...(collection !== undefined && { collection }),
        ...(key !== undefined && { key }),
      })
      return { exitCode: EXIT.ok, text: printList(conflicts), data: { conflicts } }
    })
  },
}

const show: Command = {
  name: 'replicas conflicts show',
  summary: 'show both sides of one conflict, and the decision',
  positionals: ['ID'],
  options: STORE_OPTIONS,
  examples: [{ line: 'holdfast replicas conflicts show 3vJqD0pYb1hXc2aE', does: 'with the values' }],
  run: (given) =>
    withStore(given, async ({ store }) => {
      const id = given.positionals[0] as string
      const conflict = await showConflict(store, id)
      if (conflict === undefined) {
        const text = `no conflict "${id}": see "holdfast replicas conflicts list"`
        throw new CliError('NOT_FOUND', EXIT.problem, text)
      }
      return { exitCode: EXIT.ok, text: printWhole(conflict), data: conflict }
    }),
}

export const replicaCommands: readonly Command[] = [status, list, show]

function printStatus(status: ReplicaStatus): string {
  const { replica, staleMs, peers, records, tombstones, conflicts, outbox } = status
  const age = (ms: number | null): string => (ms === null ? 'never' : `${printAge(ms)} ago`)
  const rows = peers.map((peer) => [
    peer.replica,
    age(peer.heardAgoMs),
    age(peer.pulledAgoMs),
    age(peer.hasOursAgoMs),
  ])
  return [
    `${replica}: reads are at most ${staleMs === null ? 'any time' : printAge(staleMs)} old`,
    `${records} records, ${tombstones} deleted and kept, ${conflicts} conflicts, ${outbox.backlog} changes to send (oldest ${printAge(outbox.oldestAgeMs)})`,
    ...alignColumns([['peer', 'heard of', 'pulled from', 'has ours'], ...rows]),
    '',
  ].join('\n')
}

function printList(conflicts: readonly Conflict[]): string {
  if (conflicts.length === 0) return 'no conflicts\n'
  const rows = conflicts.map(({ id, atMs, collection, key, policy, sides, decision }) => [
    id,
    new Date(atMs).toISOString(),
    collection,
    key,
    policy,
    sides.map(({ replica }) => replica).join(' '),
    decision.kind,
  ])
  return `${alignColumns([['id', 'met at', 'collection', 'key', 'policy', 'sides', 'decision'], ...rows]).join('\n')}\n`
}

function printWhole({ id, atMs, collection, key, policy, sides, decision }: Conflict): string {
  return [
    `${id}: "${key}" of "${collection}", ${policy}, met at ${new Date(atMs).toISOString()}`,
    ...sides.map(printSide),
    `decision  ${printDecision(decision)}`,
    '',
  ].join('\n')
}

function printSide({ replica, count, at, deleted, value }: ConflictSide): string {
  return `${replica} ${count} (${at})  ${deleted ? 'deletes' : JSON.stringify(value)}`
}

function printDecision(decision: Decision): string {
  switch (decision.kind) {
    case 'value':
      return JSON.stringify(decision.value)
    case 'siblings':
      return `all stand: ${decision.values.map((value) => JSON.stringify(value)).join(', ')}`
    case 'deleted':
      return 'deleted'
    case 'failed':
      return `the merge function threw: ${decision.message}`
  }
}
