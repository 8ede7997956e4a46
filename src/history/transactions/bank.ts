import type { Anomaly, Conclusion } from '../verdict.ts'
import { exactSum } from './exact-sum.ts'
import type { OperationLike } from './formats/from-operations.ts'
import { MalformedHistoryError } from './malformed.ts'

export interface BankOptions {
  /** What all balances add up to. Without it, what the first read added up to. */
  readonly total?: number
  /** Whether a balance may be below zero. Default false. */
  readonly negativeBalances?: boolean
}

const EXAMPLES_MAX = 16
/** Balances of a read that an anomaly shows. */
const SHOWN_MAX = 12

/**
 * Jepsen's bank: `read` answers a map of account to balance, `transfer` moves money from one account to another, so
 * every read must add up to the same total. Reads that answered are checked; transfers need not be.
 *
 * `valid` says that money was conserved in every read, not that the run was serializable: record micro-operations and
 * check `rw-register` for that.
 * @throws MalformedHistoryError when a read's value is no map of numbers.
 */
export function checkBank(
  operations: Iterable<OperationLike>,
  options: BankOptions = {},
): Conclusion<Anomaly> & { readonly operations: number } {
  const anomalies: Anomaly[] = []
  let total = options.total === undefined ? undefined : exactSum([options.total])
  let totalFrom = options.total === undefined ? '' : 'the expected total'
  let reads = 0
  let index = 0
  let accounts: string | undefined
  let operationsSeen = 0
  for (const op of operations) {
    const at = index++
    if (word(op.type) !== 'invoke') operationsSeen++
    if (word(op.type) !== 'ok' || word(op.f) !== 'read') continue
    const name = op.line === undefined ? `operation ${at}` : `line ${op.line}`
    const balances = entries(op.value)
    if (balances === undefined) {
      throw new MalformedHistoryError(
        op.line ?? at,
        'a read of a bank must answer a map of account to balance',
        op.line === undefined ? 'operation' : 'line',
      )
    }
    const note = (type: string, explanation: string): void => {
      if (anomalies.filter((a) => a.type === type).length >= EXAMPLES_MAX) return
      const shown = balances
        .slice(0, SHOWN_MAX)
        .map(([account, balance]) => `${account}: ${balance ?? 'nil'}`)
      const more = balances.length > SHOWN_MAX ? ', …' : ''
      const read = `read { ${shown.join(', ')}${more} }`
      anomalies.push({
        type,
        explanation,
        operations: [{ name, session: word(op.process), status: 'ok', operations: [read], completedAt: at }],
      })
    }
    reads++
    const known: (number | bigint)[] = []
    let missing = false
    for (const [account, balance] of balances) {
      if (balance === null || balance === undefined) {
        missing = true
        note('nil-balance', `${name} read no balance of account ${account}.`)
        continue
      }
      if (typeof balance !== 'bigint' && !Number.isFinite(balance)) {
        throw new MalformedHistoryError(
          op.line ?? at,
          `the balance of account ${account} is no number`,
          op.line === undefined ? 'operation' : 'line',
        )
      }
      known.push(balance as number | bigint)
      if (Number(balance) < 0 && options.negativeBalances !== true) {
        note('negative-balance', `${name} read ${balance} in account ${account}.`)
      }
    }
    const seen = balances
      .map(([account]) => account)
      .sort()
      .join(', ')
    if (accounts === undefined) accounts = seen
    else if (accounts !== seen)
      note('unexpected-accounts', `${name} read the accounts ${seen}; an earlier read ${accounts}.`)
    if (missing) continue
    const sum = exactSum(known)
    if (total === undefined) {
      total = sum
      totalFrom = `the first read (${name})`
    } else if (sum !== total) {
      note(
        'wrong-total',
        `${name} read balances that add up to ${sum}; ${totalFrom} says ${total}. It saw one side of a transfer and not the other, or an update was lost.`,
      )
    }
  }
  if (anomalies.length > 0) return { verdict: 'invalid', anomalies, operations: operationsSeen }
  if (reads === 0)
    return {
      verdict: 'unknown',
      anomalies,
      operations: operationsSeen,
      reason: 'no read answered, so nothing is known of the balances',
    }
  return { verdict: 'valid', anomalies, operations: operationsSeen }
}

function entries(value: unknown): [string, unknown][] | undefined {
  if (value instanceof Map) return [...value].map(([k, v]) => [word(k), v])
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return Object.entries(value)
}

function word(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'name' in value)
    return String(value.name).replace(/^:/, '')
  return String(value).replace(/^:/, '')
}
