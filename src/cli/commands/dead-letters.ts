import {
  type DeadLetter,
  type DeadLetterFilter,
  type DeadLetters,
  deadLetters,
} from '../../outbox/dead-letters.ts'
import { parseAge, printAge } from '../age.ts'
import { CliError, usageError } from '../cli-error.ts'
import { type Command, EXIT, flag, type Given, type OptionSpec, textValue } from '../command.ts'
import { STORE_OPTIONS, withStore } from '../open-store.ts'
import { alignColumns } from '../text-table.ts'
import { readLimit } from '../whole-number.ts'

const FILTERS: Readonly<Record<string, OptionSpec>> = {
  source: {
    type: 'string',
    value: 'NAME',
    summary: 'only of this outbox (outbox/default) or group (inbox/kitchen)',
  },
  topic: { type: 'string', value: 'TOPIC', summary: 'only of this topic' },
  key: { type: 'string', value: 'KEY', summary: 'only with this key' },
  'older-than': {
    type: 'string',
    value: 'AGE',
    summary: 'only those given up longer ago: 90s, 15m, 36h, 7d',
  },
}

const CHANGES: Readonly<Record<string, OptionSpec>> = {
  ...STORE_OPTIONS,
  ...FILTERS,
  all: { type: 'boolean', summary: 'every dead letter; needed when nothing else says which' },
  'dry-run': { type: 'boolean', summary: 'say how many it would be, and do nothing' },
}

const list: Command = {
  name: 'dead-letters list',
  summary: 'list messages that were given up, oldest first',
  options: {
    ...STORE_OPTIONS,
    ...FILTERS,
    limit: { type: 'string', value: 'N', summary: 'show at most so many; default 50' },
  },
  examples: [
    { line: 'holdfast dead-letters list --store sqlite:shop.db', does: 'all of them, the oldest 50' },
    {
      line: 'holdfast dead-letters list --topic order.placed --older-than 1d --json',
      does: 'of one topic, as JSON',
    },
  ],
  run(given) {
    const filter = readFilter(given)
    const limit = readLimit(given, 50)
    return withStore(given, async ({ store }) => {
      const letters = await deadLetters(store).list({ ...filter, limit })
      const total = letters.length < limit ? letters.length : await count(deadLetters(store), filter)
      return {
        exitCode: EXIT.ok,
        text: printList(letters, total, store.clock.now()),
        data: { letters, total },
      }
    })
  },
}

const show: Command = {
  name: 'dead-letters show',
  summary: 'show one dead letter: its payload, headers, reason and stack',
  positionals: ['ID'],
  options: STORE_OPTIONS,
  examples: [
    {
      line: 'holdfast dead-letters show 7f1c2a52-0d1e-4c57-9df0-6a1f3f5a2b11 --store sqlite:shop.db',
      does: 'the id is the first column of "dead-letters list"',
    },
  ],
  run: (given) =>
    withStore(given, async ({ store }) => {
      const id = given.positionals[0] as string
      const letter = await deadLetters(store).show(id)
      if (letter === undefined) {
        throw new CliError(
          'NOT_FOUND',
          EXIT.problem,
          `there is no dead letter "${id}": see "holdfast dead-letters list"`,
        )
      }
      return { exitCode: EXIT.ok, text: printWhole(letter, store.clock.now()), data: letter }
    }),
}

const retry = change({
  name: 'dead-letters retry',
  summary: 'bring dead letters back, once what made them fail is mended',
  description: [
    'Those of an outbox go back into it, behind what waits there. Those of an inbox are handed to its consumer, which',
    'must be running. Either way they stand outside the order of their key.',
  ].join('\n'),
  examples: [
    { line: 'holdfast dead-letters retry --topic order.placed --dry-run', does: 'how many would it be?' },
    { line: 'holdfast dead-letters retry --topic order.placed', does: 'bring them back' },
    {
      line: 'holdfast dead-letters retry --source inbox/kitchen --key order-17',
      does: 'those of one key, of one group',
    },
  ],
  act: (letters, filter, dryRun) => letters.retry(filter, { dryRun }),
  done: 'brought back',
})

const purge = change({
  name: 'dead-letters purge',
  summary: 'delete dead letters for good',
  description: 'What is deleted cannot be brought back: the message is then lost for good.',
  examples: [
    { line: 'holdfast dead-letters purge --older-than 30d --dry-run', does: 'how many would it be?' },
    { line: 'holdfast dead-letters purge --older-than 30d', does: 'delete them' },
  ],
  act: (letters, filter, dryRun) => letters.purge(filter, { dryRun }),
  done: 'deleted',
})

export const deadLetterCommands: readonly Command[] = [list, show, retry, purge]

function change({
  act,
  done,
  ...about
}: Pick<Command, 'name' | 'summary' | 'description' | 'examples'> & {
  readonly act: (
    letters: DeadLetters,
    filter: DeadLetterFilter,
    dryRun: boolean,
  ) => Promise<{ count: number }>
  readonly done: string
}): Command {
  return {
    ...about,
    positionals: ['ID...?'],
    options: CHANGES,
    run(given) {
      const filter = readFilter(given)
      const all = flag(given, 'all')
      const chosen = Object.keys(filter).length > 0
      if (!chosen && !all)
        throw usageError(
          'nothing says which dead letters: give an id, --source, --topic, --key, --older-than or --all',
        )
      if (chosen && all) throw usageError('--all means every dead letter: leave the other filters out')
      const dryRun = flag(given, 'dry-run')
      return withStore(given, async ({ store }) => {
        const letters = deadLetters(store)
        const missing = await idsWithout(letters, filter)
        const { count } = await act(letters, all ? ALL : filter, dryRun)
        const text = `${dryRun ? 'would have ' : ''}${done} ${count} dead ${count === 1 ? 'letter' : 'letters'}\n`
        if (missing.length === 0) return { exitCode: EXIT.ok, text, data: { count, dryRun } }
        const others = missing.map((id) => `there is no such dead letter: ${id}\n`).join('')
        return { exitCode: EXIT.problem, text: text + others, data: { count, dryRun, missing } }
      })
    },
  }
}

/** Those of the ids given that no dead letter has which fits the rest of the filter. */
async function idsWithout(letters: DeadLetters, filter: DeadLetterFilter): Promise<readonly string[]> {
  const { ids } = filter
  if (ids === undefined) return []
  const there = new Set((await letters.list({ ...filter, limit: ids.length })).map(({ id }) => id))
  return ids.filter((id) => !there.has(id))
}

const ALL: DeadLetterFilter = { olderThanMs: 0 }

async function count(letters: DeadLetters, filter: DeadLetterFilter): Promise<number> {
  return (await letters.purge(Object.keys(filter).length === 0 ? ALL : filter, { dryRun: true })).count
}

function readFilter(given: Given): DeadLetterFilter {
  const olderThan = textValue(given, 'older-than')
  const source = textValue(given, 'source')
  const topic = textValue(given, 'topic')
  const key = textValue(given, 'key')
  return {
    ...(given.positionals.length > 0 && { ids: given.positionals }),
    ...(source !== undefined && { source }),
    ...(topic !== undefined && { topic }),
    ...(key !== undefined && { key }),
    ...(olderThan !== undefined && { olderThanMs: parseAge('older-than', olderThan) }),
  }
}

const REASON_MAX = 70

function printList(letters: readonly DeadLetter[], total: number, nowMs: number): string {
  if (letters.length === 0) return 'no dead letters\n'
  const rows = letters.map((l) => [
    l.id,
    l.source,
    l.topic,
    l.key ?? '-',
    printAge(Math.max(0, nowMs - l.failedAtMs)),
    `${l.attempts}`,
    `${l.retryRequested ? '(to be retried) ' : ''}${oneLine(l.reason)}`,
  ])
  const table = alignColumns([['id', 'of', 'topic', 'key', 'age', 'attempts', 'reason'], ...rows])
  const more = total > letters.length ? `\n${letters.length} of ${total}: --limit shows more\n` : ''
  return `${table.join('\n')}\n${more}`
}

function oneLine(text: string): string {
  const flat = text.replaceAll(/\s+/g, ' ')
  return flat.length > REASON_MAX ? `${flat.slice(0, REASON_MAX - 1)}…` : flat
}

function printWhole(letter: DeadLetter, nowMs: number): string {
  const { payload, stack, headers, publishedAtMs, failedAtMs } = letter
  const fields = alignColumns([
    ['id', letter.id],
    ['of', letter.source],
    ['topic', letter.topic],
    ['key', letter.key ?? '-'],
    ['message id', letter.messageId],
    ['published', publishedAtMs === null ? '-' : new Date(publishedAtMs).toISOString()],
    ['given up', `${new Date(failedAtMs).toISOString()} (${printAge(Math.max(0, nowMs - failedAtMs))} ago)`],
    ['attempts', `${letter.attempts}${letter.retryRequested ? ', to be retried' : ''}`],
    ['reason', `${letter.reason}${letter.errorCode === null ? '' : ` (${letter.errorCode})`}`],
    ...Object.entries(headers).map(([name, value]) => [`header ${name}`, value]),
  ])
  return `${fields.join('\n')}\n\npayload\n${payload}\n${stack === null ? '' : `\nstack\n${stack}\n`}`
}
