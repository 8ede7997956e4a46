import { checkArguments, checkOptions, isBoolean, isObject, isOneOf, show } from '../../core/options.ts'
import type { Anomaly, ExplainedStep, InvolvedOperation, Verdict } from '../verdict.ts'
import { type BankOptions, checkBank } from './bank.ts'
import { checkHistory, type TransactionVerdict } from './check.ts'
import { type OperationLike, transactionsFromOperations } from './formats/from-operations.ts'
import { INFO, NIL, NOT_RECORDED, OK, READ, READ_LIST, type TransactionHistory } from './history.ts'
import { LEVEL_RULES, LEVELS, type Level } from './levels.ts'
import { findLongForks, keyWrittenTwice } from './long-fork.ts'
import { decideByRealTime } from './real-time-order.ts'
import { checkSets } from './set-add.ts'

export const TRANSACTION_MODELS = ['list-append', 'rw-register', 'bank', 'set', 'long-fork'] as const
export type TransactionModel = (typeof TRANSACTION_MODELS)[number]

/** What a check of transactions found; it is timed by whoever read the history, too. */
export type TransactionCheck = Omit<Verdict, 'seconds'> & { readonly model: TransactionModel }

export interface CheckTransactionsInput extends BankOptions {
  readonly model: TransactionModel
  /** Default: `serializable`, and for `long-fork` `snapshot-isolation`. */
  readonly level?: Level
  /** True when time is up: the answer is then `unknown` unless it is known already. */
  readonly expired?: () => boolean
  /** Overrules whether the order within a session counts, which else follows from the level and the format. */
  readonly sessionOrder?: boolean
}

/**
 * Checks a history of transactions: one that a parser made, or operations as Jepsen's tools record them.
 * Guarantee: `valid` is proved, `invalid` is shown, and what is neither is `unknown` with the reason.
 */
export function checkTransactions(
  input: TransactionHistory | Iterable<OperationLike>,
  options: CheckTransactionsInput,
): TransactionCheck {
  checkArguments('checkTransactions', isObject('options', options))
  const { model, total, negativeBalances, sessionOrder } = options
  checkOptions(
    'checkTransactions',
    options,
    ['model', 'level', 'total', 'negativeBalances', 'sessionOrder', 'expired'],
    [
      isOneOf('model', model, TRANSACTION_MODELS),
      options.level === undefined || isOneOf('level', options.level, LEVELS),
      total === undefined || Number.isFinite(total) || `total must be a number, got ${show(total)}`,
      negativeBalances === undefined || isBoolean('negativeBalances', negativeBalances),
      sessionOrder === undefined || isBoolean('sessionOrder', sessionOrder),
      (typeof input === 'object' &&
        input !== null &&
        (isOperations(input) || (model !== 'bank' && typeof input.transactions === 'number'))) ||
        `the first argument must be operations, or what a parser of histories gave, got ${show(input)}`,
    ],
  )
  if (model === 'bank') {
    if (!isOperations(input)) throw new TypeError('the bank model takes operations')
    const conserved = checkBank(input, options)
    const { level } = options
    return conserved.verdict !== 'valid' || level === undefined
      ? { ...conserved, model }
      : {
          ...conserved,
          model,
          reason: `every read adds up; ${level} is not looked at: rw-register does that`,
        }
  }
  const level = options.level ?? (model === 'long-fork' ? 'snapshot-isolation' : 'serializable')
  const h = isOperations(input)
    ? transactionsFromOperations(input, model === 'long-fork' ? 'rw-register' : model)
    : input
  const how = {
    level,
    ...(options.expired === undefined ? {} : { expired: options.expired }),
    ...(options.sessionOrder === undefined ? {} : { sessionOrder: options.sessionOrder }),
  }
  let verdict: TransactionVerdict
  if (model === 'set') verdict = checkSets(h, how)
  else if (model === 'long-fork') verdict = withForks(h, checkHistory(h, how), level)
  else verdict = checkHistory(h, how)
  if (verdict.verdict === 'unknown' && model !== 'long-fork') verdict = decideByRealTime(h, verdict, how)
  return {
    verdict: verdict.verdict,
    model,
    level,
    operations: h.transactions,
    anomalies: verdict.anomalies.map((a) => involve(h, a, WRITES[model])),
    ...(verdict.reason === undefined ? {} : { reason: verdict.reason }),
  }
}

/** What a write is called in the history, which stands in an anomaly as it was recorded. */
const WRITES: Readonly<Partial<Record<TransactionModel, string>>> = { 'list-append': 'append', set: 'add' }

function withForks(h: TransactionHistory, verdict: TransactionVerdict, level: Level): TransactionVerdict {
  const twice = keyWrittenTwice(h)
  if (twice !== undefined) {
    if (verdict.verdict === 'invalid') return verdict
    return {
      verdict: 'unknown',
      anomalies: [],
      reason: `key ${twice} is written more than once, which long-fork histories do not do: check rw-register`,
    }
  }
  if (!LEVEL_RULES[level].cycles.includes('G-nonadjacent')) return verdict
  const forks = findLongForks(h)
  return forks.length === 0
    ? verdict
    : { ...verdict, verdict: 'invalid', anomalies: [...forks, ...verdict.anomalies] }
}

function isOperations(input: TransactionHistory | Iterable<OperationLike>): input is Iterable<OperationLike> {
  return Symbol.iterator in input
}

function involve(
  h: TransactionHistory,
  { type, explanation, transactions, steps }: TransactionVerdict['anomalies'][number],
  write = 'w',
): Anomaly {
  const members = [...new Set([...transactions, ...(steps ?? []).flatMap((s) => [s.from, s.to])])]
  const place = new Map(members.map((t, i) => [t, i]))
  return {
    type,
    explanation: explanation.replace(/(^|[.:] )([a-z])(?=[a-z]+ )/g, (_, before: string, letter: string) =>
      before.startsWith(':') ? `${before}${letter}` : `${before}${letter.toUpperCase()}`,
    ),
    operations: members.map((t): InvolvedOperation => {
      const [sent, answered] = [h.invokedAt[t] as number, h.completedAt[t] as number]
      return {
        name: h.showTransaction(t),
        session: h.showSession(h.session[t] as number),
        status: h.status[t] === OK ? 'ok' : h.status[t] === INFO ? 'info' : 'fail',
        operations: showOperations(h, t, steps, write),
        ...(sent >= 0 ? { invokedAt: sent } : {}),
        ...(answered >= 0 ? { completedAt: answered } : {}),
      }
    }),
    ...(steps === undefined
      ? {}
      : {
          cycle: steps.map((s) => ({
            ...s,
            from: place.get(s.from) as number,
            to: place.get(s.to) as number,
          })),
        }),
  }
}

const SHOWN_MAX = 24

/** All micro-operations of a small transaction; of a large one those on the cycle's keys. */
function showOperations(
  h: TransactionHistory,
  t: number,
  steps: readonly ExplainedStep[] | undefined,
  write: string,
): string[] {
  const keys = new Set((steps ?? []).map((s) => s.key))
  const begin = h.first[t] as number
  const end = h.first[t + 1] as number
  const all = end - begin <= 8 || steps === undefined
  const shown: string[] = []
  for (let op = begin; op < end && shown.length < SHOWN_MAX; op++) {
    const key = h.showKey(h.key[op] as number)
    if (!all && !keys.has(key)) continue
    const value = h.value[op] as number
    const kind = h.kind[op]
    if (kind === READ_LIST) {
      const from = h.listFirst[value] as number
      const to = h.listFirst[value + 1] as number
      const items = Array.from(h.items.subarray(Math.max(from, to - 12), to), (v) => h.showValue(v))
      shown.push(`r ${key} [${to - from > 12 ? '… ' : ''}${items.join(' ')}]`)
    } else if (kind === READ)
      shown.push(`r ${key} ${value === NOT_RECORDED ? '?' : value === NIL ? 'nil' : h.showValue(value)}`)
    else shown.push(`${write} ${key} ${h.showValue(value)}`)
  }
  if (shown.length < end - begin) shown.push('…')
  return shown
}
