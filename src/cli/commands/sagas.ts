import { checkUpgrade } from '../../saga/check-upgrade.ts'
import type { SagaState } from '../../saga/entry.ts'
import { sagaHandle } from '../../saga/handle.ts'
import { type SagaOperations, sagaOperations } from '../../saga/operations.ts'
import { usageError } from '../cli-error.ts'
import { type Command, EXIT, flag, type Given, type Report, textValue } from '../command.ts'
import { STORE_OPTIONS, withStore } from '../open-store.ts'
import { printFigures } from '../sagas/figures.ts'
import { BULK, chosen, FILTERS, findIds, readFilter } from '../sagas/filters.ts'
import { printList } from '../sagas/list.ts'
import { loadSagas } from '../sagas/load-module.ts'
import { drawTimeline } from '../sagas/timeline.ts'
import { readLimit } from '../whole-number.ts'

const list: Command = {
  name: 'sagas list',
  summary: 'list sagas, oldest first, with figures',
  options: {
    ...STORE_OPTIONS,
    ...FILTERS,
    limit: { type: 'string', value: 'N', summary: 'show at most so many; default 50' },
  },
  examples: [
    { line: 'holdfast sagas list --store sqlite:shop.db', does: 'all of them, the oldest 50' },
    { line: 'holdfast sagas list --state stuck --json', does: 'those that wait for you, as JSON' },
  ],
  run(given) {
    const filter = readFilter(given)
    const limit = readLimit(given, 50)
    return withStore(given, async ({ store }) => {
      const operations = sagaOperations(store)
      const sagas = await operations.list(filter, { limit })
      const figures = await operations.figures()
      const head = `${printFigures(figures)}\n`
      return {
        exitCode: EXIT.ok,
        text: sagas.length === 0 ? head : `${head}\n${printList(sagas, store.clock.now())}\n`,
        data: { sagas, figures },
      }
    })
  },
}

const show: Command = {
  name: 'sagas show',
  summary: 'draw the timeline of one saga, and say why it is where it is',
  positionals: ['ID'],
  options: STORE_OPTIONS,
  examples: [
    { line: 'holdfast sagas show order-17 --store sqlite:shop.db', does: 'steps, attempts, waits and undo' },
  ],
  run: (given) =>
    withStore(given, async ({ store }) => {
      const saga = await sagaOperations(store).show(given.positionals[0] as string)
      return { exitCode: EXIT.ok, text: drawTimeline(saga), data: saga }
    }),
}

const signal: Command = {
  name: 'sagas signal',
  summary: 'send a signal to a saga',
  positionals: ['ID', 'NAME', 'JSON?'],
  options: STORE_OPTIONS,
  examples: [
    { line: 'holdfast sagas signal order-17 paid \'{"amount":12}\'', does: 's.receive("paid") gets it' },
  ],
  run(given) {
    const [id = '', name = '', json] = given.positionals
    const payload = json === undefined ? undefined : parseJson(json)
    return withStore(given, async ({ store }) => {
      const delivered = await sagaHandle(store, id).signal(name, payload)
      return {
        exitCode: delivered ? EXIT.ok : EXIT.problem,
        text: delivered ? `sent "${name}" to ${id}\n` : `${id} has ended: nothing was sent\n`,
        data: { id, delivered },
      }
    })
  },
}

const cancel = bulk({
  name: 'sagas cancel',
  summary: 'ask sagas to go back; those past their pivot go on',
  state: ['running'],
  done: 'asked to go back',
  act: async (operations, id) => void (await operations.cancel(id)),
  examples: [
    { line: 'holdfast sagas cancel order-17', does: 'one' },
    {
      line: 'holdfast sagas cancel --name place-order --older-than 1h --dry-run',
      does: 'which would it be?',
    },
  ],
})

const retry = bulk({
  name: 'sagas retry',
  summary: 'let stuck sagas try again, once what made them stuck is mended',
  state: ['stuck'],
  done: 'told to try again',
  act: (operations, id) => operations.retry(id),
  examples: [
    { line: 'holdfast sagas retry order-17', does: 'one' },
    { line: 'holdfast sagas retry --all --dry-run', does: 'which are stuck?' },
  ],
})

const skipStep: Command = {
  name: 'sagas skip-step',
  summary: 'let a stuck saga go on as if what it is stuck on were done',
  description: 'Do by hand first what the step, undo or confirm should have done.',
  positionals: ['ID'],
  options: {
    ...STORE_OPTIONS,
    result: { type: 'string', value: 'JSON', summary: 'what the skipped step is to have given' },
  },
  examples: [{ line: 'holdfast sagas skip-step order-17', does: 'the refund was made by hand' }],
  run: (given) => {
    const text = textValue(given, 'result')
    const result = text === undefined ? undefined : parseJson(text)
    return one(given, 'skipped what it was stuck on', (operations, id) => operations.skipStep(id, { result }))
  },
}

const forceUndo: Command = {
  name: 'sagas force-undo',
  summary: 'let a stuck saga go back, even past its pivot',
  description: 'What was done after the pivot has no undo and stays.',
  positionals: ['ID'],
  options: STORE_OPTIONS,
  examples: [{ line: 'holdfast sagas force-undo order-17', does: 'undo what has an undo' }],
  run: (given) => one(given, 'goes back', (operations, id) => operations.forceUndo(id)),
}

const fork: Command = {
  name: 'sagas fork',
  summary: 'start a new saga with the journal of another up to a step, which it runs anew',
  positionals: ['ID'],
  options: {
    ...STORE_OPTIONS,
    from: { type: 'string', value: 'STEP', summary: 'the first step that is run anew' },
    to: {
      type: 'string',
      value: 'ID',
      summary: 'the id of the new saga; default: the old one with "/fork" and a number',
    },
  },
  examples: [
    {
      line: 'holdfast sagas fork order-17 --from charge',
      does: 'everything before "charge" is taken as done',
    },
  ],
  run(given) {
    const from = textValue(given, 'from')
    if (from === undefined)
      throw usageError('--from STEP is missing: see the steps with "holdfast sagas show"')
    const newId = textValue(given, 'to') ?? `${given.positionals[0]}/fork-${Date.now().toString(36)}`
    return withStore(given, async ({ store }) => {
      await sagaOperations(store).fork(given.positionals[0] as string, { from, newId })
      return { exitCode: EXIT.ok, text: `started ${newId}\n`, data: { id: newId } }
    })
  },
}

const purge: Command = {
  name: 'sagas purge',
  summary: 'remove sagas that have ended, with their journals',
  positionals: ['ID...?'],
  options: BULK,
  examples: [
    { line: 'holdfast sagas purge --older-than 30d --dry-run', does: 'how many would it be?' },
    { line: 'holdfast sagas purge --state completed --older-than 7d', does: 'only those that went well' },
  ],
  run(given) {
    const filter = chosen(given)
    return withStore(given, async ({ store }) => {
      const operations = sagaOperations(store)
      const dryRun = flag(given, 'dry-run')
      const ended: readonly SagaState[] =
        filter.state === undefined ? ['completed', 'failed', 'cancelled'] : [filter.state]
      let count = 0
      for (const state of ended) {
        if (state === 'running' || state === 'undoing' || state === 'stuck') continue
        count += dryRun
          ? await operations.count({ ...filter, state })
          : await operations.purge({ ...filter, state })
      }
      const text = `${dryRun ? 'would have ' : ''}removed ${count} ${count === 1 ? 'saga' : 'sagas'}\n`
      return { exitCode: EXIT.ok, text, data: { count, dryRun } }
    })
  },
}

const check: Command = {
  name: 'sagas check-upgrade',
  summary: 'replay every unfinished saga against new code, and list what would break',
  description:
    'Ends with 1 when something would. Runs nothing and writes nothing. The module exports the sagas.',
  options: {
    ...STORE_OPTIONS,
    module: {
      type: 'string',
      value: 'FILE',
      summary: 'the module (JavaScript or TypeScript) that exports the new sagas',
    },
  },
  examples: [{ line: 'holdfast sagas check-upgrade --module ./dist/sagas.js', does: 'before you deploy' }],
  async run(given) {
    const path = textValue(given, 'module')
    if (path === undefined) throw usageError('--module FILE is missing')
    const sagas = await loadSagas(path)
    return withStore(given, async ({ store }) => {
      const report = await checkUpgrade(store, sagas)
      const lines = report.problems.map((p) => `${p.id} (${p.name})\n${p.problem.replaceAll(/^/gm, '  ')}\n`)
      const text = `${lines.join('\n')}${lines.length > 0 ? '\n' : ''}${report.checked} unfinished ${report.checked === 1 ? 'saga' : 'sagas'}, ${report.problems.length} would break\n`
      return { exitCode: report.problems.length > 0 ? EXIT.problem : EXIT.ok, text, data: report }
    })
  },
}

export const sagaCommands: readonly Command[] = [
  list,
  show,
  signal,
  cancel,
  retry,
  skipStep,
  forceUndo,
  fork,
  purge,
  check,
]

function one(
  given: Given,
  done: string,
  act: (operations: SagaOperations, id: string) => Promise<void>,
): Promise<Report> {
  const id = given.positionals[0] as string
  return withStore(given, async ({ store }) => {
    await act(sagaOperations(store), id)
    return { exitCode: EXIT.ok, text: `${id}: ${done}\n`, data: { id } }
  })
}

function bulk({
  state,
  done,
  act,
  ...about
}: Pick<Command, 'name' | 'summary' | 'examples'> & {
  readonly state: readonly SagaState[]
  readonly done: string
  readonly act: (operations: SagaOperations, id: string) => Promise<void>
}): Command {
  return {
    ...about,
    positionals: ['ID...?'],
    options: BULK,
    run(given) {
      const filter = chosen(given)
      const dryRun = flag(given, 'dry-run')
      return withStore(given, async ({ store }) => {
        const operations = sagaOperations(store)
        const ids = await findIds(operations, filter, state)
        if (!dryRun) for (const id of ids) await act(operations, id)
        const what = `${ids.length} ${ids.length === 1 ? 'saga' : 'sagas'}`
        const text = `${what} ${dryRun ? 'would be ' : ''}${done}${dryRun && ids.length > 0 ? `: ${ids.slice(0, 20).join(', ')}` : ''}\n`
        return { exitCode: EXIT.ok, text, data: { count: ids.length, ids, dryRun } }
      })
    },
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw usageError(`"${text}" is no JSON`)
  }
}
