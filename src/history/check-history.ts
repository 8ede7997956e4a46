import { ConfigError } from '../core/index.ts'
import {
  type Check,
  checkArguments,
  checkOptions,
  isBoolean,
  isCount,
  isObject,
  isOneOf,
  show,
} from '../core/options.ts'
import { checkDelivery } from './delivery/check-delivery.ts'
import { detectFormat, FORMATS, type Format } from './formats/detect.ts'
import { parseEdnHistory } from './formats/edn-history.ts'
import { beginsArray } from './formats/json-array.ts'
import { parseJsonLines } from './formats/jsonl.ts'
import { parsePorcupine } from './formats/porcupine.ts'
import { decodeUtf8 } from './formats/utf8.ts'
import { checkLinearizable } from './linearizability/check.ts'
import type { Model } from './linearizability/model.ts'
import { LINEARIZABLE_MODELS, type LinearizableModel } from './linearizability/models.ts'
import { looksIndependent, pairOperations } from './linearizability/operation.ts'
import type { HistoryEvent } from './operation.ts'
import { checkTally, TALLY_MODELS, type TallyModel } from './tallies/check-tally.ts'
import {
  type CobraLog,
  checkTransactions,
  JsonLinesScanner,
  LEVELS,
  type Level,
  MalformedHistoryError,
  parseCobra,
  parseDbcop,
  parseText,
  TRANSACTION_MODELS,
  type TransactionHistory,
  type TransactionModel,
} from './transactions/index.ts'
import type { Verdict } from './verdict.ts'

/** Every model by name. `set` is the object with linearizability, or transactions over sets where a level is given. */
export const MODELS = [
  ...LINEARIZABLE_MODELS,
  ...TRANSACTION_MODELS.filter((name) => name !== 'set'),
  ...TALLY_MODELS,
  'delivery',
] as const
export type ModelName = (typeof MODELS)[number]

export interface CheckHistoryOptions {
  readonly model: ModelName | Model
  /** For models of transactions, and to ask for sets as transactions. */
  readonly level?: Level
  /** Default: guessed from the content. */
  readonly format?: Format
  /** Values are pairs `[key, value]`, as jepsen.independent writes them. Default: whether the history tells so. */
  readonly independent?: boolean
  /** What an object holds that nobody wrote, for registers and `kv`. Default: null, or what the format says. */
  readonly initial?: unknown
  /** What a bank's accounts add up to. Default: what the first read says. */
  readonly total?: number
  readonly negativeBalances?: boolean
  /** For `delivery`. */
  readonly allowDuplicates?: boolean
  readonly expired?: () => boolean
  readonly configurationsMax?: number
}

/** Where a history comes from: the content of a file, or the logs of a folder, or operations at hand. */
export type HistorySource =
  | { readonly bytes: Uint8Array }
  /** `head` is where it begins; a chunk need stay as it is only until the next one is asked for. */
  | { readonly chunks: Iterable<Uint8Array>; readonly head: Uint8Array }
  | { readonly logs: readonly CobraLog[] }
  | { readonly events: readonly HistoryEvent[] }

/**
 * Reads a history and checks it against a model. The answer is proved, shown, or `unknown` with the reason.
 * @throws MalformedHistoryError with the line; ConfigError when model, level and format do not go together
 */
export function checkHistory(source: HistorySource, options: CheckHistoryOptions): Verdict {
  checkArguments('checkHistory', isObject('source', source), isObject('options', options))
  checkOptions('checkHistory', options, OPTION_NAMES, [
    isModel(options.model),
    isSource(source),
    options.level === undefined || isOneOf('level', options.level, LEVELS),
    options.format === undefined || isOneOf('format', options.format, FORMATS),
    options.independent === undefined || isBoolean('independent', options.independent),
    options.total === undefined || Number.isFinite(options.total) || 'total must be a number',
    options.configurationsMax === undefined ||
      isCount('configurationsMax', options.configurationsMax, 1, Number.MAX_SAFE_INTEGER),
  ])
  const started = performance.now()
  const format = formatOf(source, options)
  const verdict = check(source, format, options)
  return { ...verdict, seconds: (performance.now() - started) / 1000 }
}

const OPTION_NAMES = [
  'model',
  'level',
  'format',
  'independent',
  'initial',
  'total',
  'negativeBalances',
  'allowDuplicates',
  'expired',
  'configurationsMax',
]

function isModel(model: ModelName | Model): Check {
  const known = MODELS.some((name) => name === model)
  return (
    known ||
    (typeof model === 'object' && typeof model?.step === 'function') ||
    `model must be one of ${MODELS.join(', ')}, or a model of your own, got ${show(model)}`
  )
}

function isSource(source: HistorySource): Check {
  const { bytes, chunks, head, logs, events } = source as Partial<Record<string, unknown>>
  return (
    bytes instanceof Uint8Array ||
    (chunks !== undefined && head instanceof Uint8Array) ||
    Array.isArray(logs) ||
    Array.isArray(events) ||
    'source must be { bytes }, { chunks, head }, { logs } or { events }'
  )
}

function check(
  source: HistorySource,
  format: Format | 'events',
  options: CheckHistoryOptions,
): Omit<Verdict, 'seconds'> {
  const { model, level, expired } = options
  const problems = OF_SOME_MODELS.flatMap(({ option, what, models }) =>
    (options[option] ?? false) === false || models.includes(model)
      ? []
      : [`${what} is for ${models.join(', ')}, not for ${nameOf(model)}`],
  )
  if (problems.length > 0) throw new ConfigError('check', problems)
  const transactional = transactionModel(model, level)
  if (transactional !== undefined) {
    return checkTransactions(transactions(source, format, transactional), {
      model: transactional,
      ...(level === undefined ? {} : { level }),
      ...(options.total === undefined ? {} : { total: options.total }),
      ...(options.negativeBalances === undefined ? {} : { negativeBalances: options.negativeBalances }),
      ...(expired === undefined ? {} : { expired }),
    })
  }
  if (level !== undefined) {
    throw new ConfigError('check', [`level ${level} is for models of transactions, not for ${nameOf(model)}`])
  }
  const { events, initial } = operations(source, format, nameOf(model))
  if (model === 'set' && events.some((event) => event.f === 'txn')) {
    return check({ events }, 'events', { ...options, level: 'serializable' })
  }
  if (model === 'delivery') {
    return checkDelivery(events, {
      ...(options.allowDuplicates === undefined ? {} : { allowDuplicates: options.allowDuplicates }),
      ...(expired === undefined ? {} : { expired }),
    })
  }
  const paired = pairOperations(events, { independent: options.independent ?? looksIndependent(events) })
  const unit = events[0]?.line === undefined ? 'operation' : 'line'
  const tally = TALLY_MODELS.find((name): name is TallyModel => name === model)
  if (tally !== undefined) return checkTally(paired, { model: tally, unit })
  return checkLinearizable(paired, {
    model: model as LinearizableModel | Model,
    initial: options.initial === undefined ? initial : options.initial,
    unit,
    ...(expired === undefined ? {} : { expired }),
    ...(options.configurationsMax === undefined ? {} : { configurationsMax: options.configurationsMax }),
  })
}

/** Options that say nothing to other models. Taken in silence they would seem to have been kept. */
const OF_SOME_MODELS: readonly {
  readonly option: 'initial' | 'total' | 'negativeBalances' | 'allowDuplicates'
  readonly what: string
  readonly models: readonly (ModelName | Model)[]
}[] = [
  {
    option: 'initial',
    what: 'an initial value',
    models: ['register', 'cas-register', 'multi-register', 'kv'],
  },
  { option: 'total', what: 'a total', models: ['bank'] },
  { option: 'negativeBalances', what: 'leave for negative balances', models: ['bank'] },
  { option: 'allowDuplicates', what: 'leave for duplicates', models: ['delivery'] },
]

function nameOf(model: ModelName | Model): string {
  return typeof model === 'string' ? model : model.name
}

function transactionModel(model: ModelName | Model, level: Level | undefined): TransactionModel | undefined {
  if (typeof model !== 'string') return undefined
  if (model === 'set') return level === undefined ? undefined : 'set'
  return TRANSACTION_MODELS.find((name) => name === model)
}

function formatOf(source: HistorySource, options: CheckHistoryOptions): Format | 'events' {
  if ('events' in source) return 'events'
  if (options.format !== undefined) return options.format
  if ('logs' in source) return 'cobra'
  const head = headOf(source)
  if ((head[0] === 0xff && head[1] === 0xfe) || (head[0] === 0xfe && head[1] === 0xff)) {
    throw new MalformedHistoryError(1, 'this is text in UTF-16; a history is in UTF-8')
  }
  const guessed = detectFormat(head)
  const { model, level } = options
  const transactional = transactionModel(model, level) !== undefined || model === 'set'
  if (guessed !== undefined && (transactional || !OF_TRANSACTIONS.includes(guessed))) return guessed
  // What only looks like sessions is told with its line where operations are wanted.
  if (/^\s*[{[]/.test(new TextDecoder().decode(head))) return 'jsonl'
  throw new MalformedHistoryError(
    1,
    /^\uFEFF?\s*$/.test(new TextDecoder('utf-8', { ignoreBOM: true }).decode(head))
      ? 'the history is empty'
      : guessed === undefined
        ? 'no known format begins like this; name it with --format'
        : `this looks like the format ${guessed}, which holds transactions and not operations of a ${nameOf(model)}`,
  )
}

const OF_TRANSACTIONS: readonly Format[] = ['text', 'cobra', 'dbcop']

function operations(
  source: HistorySource,
  format: Format | 'events',
  model: string,
): { events: readonly HistoryEvent[]; initial: unknown } {
  if ('events' in source) return { events: source.events, initial: null }
  if (format === 'jsonl') return { events: parseJsonLines(textOf(source)), initial: null }
  if (format === 'edn') return { events: parseEdnHistory(textOf(source)), initial: null }
  if (format === 'porcupine') return parsePorcupine(textOf(source))
  throw new ConfigError('check', [
    `format ${format} holds transactions, and ${model} is no model of transactions: choose ${TRANSACTION_MODELS.join(', ')}`,
  ])
}

function transactions(
  source: HistorySource,
  format: Format | 'events',
  model: TransactionModel,
): TransactionHistory | readonly HistoryEvent[] {
  if ('events' in source) return source.events
  if (model === 'bank' && OF_TRANSACTIONS.includes(format as Format)) {
    throw new ConfigError('check', [`format ${format} holds no transfers, which the bank model is about`])
  }
  if (format === 'cobra') {
    return parseCobra('logs' in source ? source.logs : [{ name: 'history', bytes: bytesOf(source) }])
  }
  if (format === 'dbcop') return parseDbcop(bytesOf(source))
  if (format === 'text') return parseText(textOf(source))
  if (format === 'jsonl' && model !== 'bank' && !beginsArray(new TextDecoder().decode(headOf(source)))) {
    const scanner = new JsonLinesScanner(model === 'long-fork' ? 'rw-register' : model)
    for (const chunk of chunksOf(source)) scanner.push(chunk)
    return scanner.finish()
  }
  return operations(source, format, model).events
}

function headOf(source: HistorySource): Uint8Array {
  if ('chunks' in source) return source.head
  return 'bytes' in source ? source.bytes.subarray(0, 4096) : new Uint8Array()
}

function chunksOf(source: HistorySource): Iterable<Uint8Array> {
  if ('chunks' in source) return source.chunks
  return 'bytes' in source ? [source.bytes] : []
}

function bytesOf(source: HistorySource): Uint8Array {
  if ('bytes' in source) return source.bytes
  // Copied one by one, since the next chunk may come in the same buffer.
  const chunks: Uint8Array[] = []
  for (const chunk of chunksOf(source)) chunks.push(chunk.slice())
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

function textOf(source: HistorySource): string {
  return decodeUtf8(bytesOf(source))
}
