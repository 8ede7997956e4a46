import type { SagaState } from '../../saga/entry.ts'
import { SagaNotFoundError, SagaStateError } from '../../saga/errors.ts'
import type { SagaFilter, SagaOperations } from '../../saga/operations.ts'
import { parseAge } from '../age.ts'
import { usageError } from '../cli-error.ts'
import { flag, type Given, type OptionSpec, textValue } from '../command.ts'
import { STORE_OPTIONS } from '../open-store.ts'

export const STATES: readonly SagaState[] = [
  'running',
  'undoing',
  'stuck',
  'completed',
  'failed',
  'cancelled',
]

export const FILTERS: Readonly<Record<string, OptionSpec>> = {
  name: { type: 'string', value: 'NAME', summary: 'only sagas of this name' },
  state: { type: 'string', value: 'STATE', summary: `only in this state: ${STATES.join(', ')}` },
  'older-than': { type: 'string', value: 'AGE', summary: 'only those started longer ago: 90s, 15m, 36h, 7d' },
}

export const BULK: Readonly<Record<string, OptionSpec>> = {
  ...STORE_OPTIONS,
  ...FILTERS,
  all: { type: 'boolean', summary: 'every saga to which it applies; needed when nothing else says which' },
  'dry-run': { type: 'boolean', summary: 'say which it would be, and do nothing' },
}

/** How many sagas one command acts on at most. */
const ALL = { limit: 100_000 }

/**
 * The ids of the sagas in these states, as far as the filter lets them through. Ids that were named are all looked at
 * before anything is done to one of them.
 * @throws SagaNotFoundError, SagaStateError for an id that was named
 */
export async function findIds(
  operations: SagaOperations,
  filter: SagaFilter,
  states: readonly SagaState[],
): Promise<readonly string[]> {
  if (filter.ids !== undefined) {
    const named = await operations.list({ ids: filter.ids }, ALL)
    const stateOf = new Map(named.map(({ id, state }) => [id, state]))
    for (const id of filter.ids) {
      const state = stateOf.get(id)
      if (state === undefined) throw new SagaNotFoundError(id)
      if (!states.includes(state))
        throw new SagaStateError(`saga "${id}" is ${state}, not ${states.join(' or ')}`)
    }
  }
  const found: string[] = []
  for (const state of states) {
    if (filter.state !== undefined && filter.state !== state) continue
    const sagas = await operations.list({ ...filter, state }, ALL)
    found.push(...sagas.map((saga) => saga.id))
  }
  return found
}

/** @throws CliError when nothing says which sagas */
export function chosen(given: Given): SagaFilter {
  const filter = readFilter(given)
  const all = flag(given, 'all')
  if (Object.keys(filter).length === 0 && !all)
    throw usageError('nothing says which sagas: give an id, --name, --state, --older-than or --all')
  if (Object.keys(filter).length > 0 && all)
    throw usageError('--all means every saga: leave the other filters out')
  return filter
}

export function readFilter(given: Given): SagaFilter {
  const name = textValue(given, 'name')
  const state = textValue(given, 'state')
  const olderThan = textValue(given, 'older-than')
  if (state !== undefined && !STATES.includes(state as SagaState))
    throw usageError(`--state must be one of ${STATES.join(', ')}, got "${state}"`)
  return {
    ...(given.positionals.length > 0 && { ids: given.positionals }),
    ...(name !== undefined && { name }),
    ...(state !== undefined && { state: state as SagaState }),
    ...(olderThan !== undefined && { olderThanMs: parseAge('older-than', olderThan) }),
  }
}
