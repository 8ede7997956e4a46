import type { Model } from '../linearizability/model.ts'
import type { Operation } from '../linearizability/operation.ts'
import { search } from '../linearizability/search.ts'
import type { TransactionAnomaly, TransactionVerdict } from './check.ts'
import { FAIL, NIL, NOT_RECORDED, OK, READ_LIST, type TransactionHistory, WRITE } from './history.ts'
import type { Level } from './levels.ts'

export interface RealTimeOptions {
  readonly level: Level
  readonly expired?: () => boolean
}

/** Bounds of the search, so that what stays unknown is said to be so after seconds and not hours. */
const CONFIGURATIONS_MAX = 20_000
const ASKED_MAX = 2_000
const KEYS_MAX = 256
const TRANSACTIONS_MAX = 50_000

/**
 * Decides what the graph left open by running the transactions one after the other on the keys themselves, in every
 * order that real time allows. It does not ask who wrote a value, so it also tells of values that several transactions
 * wrote. An order proves the history strictly serializable, hence valid at every level; that there is none refutes
 * `strict-serializable` and nothing else. Where neither is found within the bounds, the verdict stays what it was.
 *
 * Keys that no transaction joins are objects of their own, which is enough (Herlihy and Wing 1990, theorem 1).
 */
export function decideByRealTime(
  h: TransactionHistory,
  undecided: TransactionVerdict,
  { level, expired }: RealTimeOptions,
): TransactionVerdict {
  if (h.transactions > TRANSACTIONS_MAX || expired?.() === true) return undecided
  // The keys do not tell of versions that were recorded.
  if (!timed(h) || h.version !== undefined) return undecided
  const objects = joinedObjects(h)
  let asked = 0
  const tired = (): boolean => ++asked > ASKED_MAX || expired?.() === true
  for (const { operations, keys } of objects) {
    if (keys.length > KEYS_MAX) return undecided
    const limits = { expired: tired, configurationsMax: CONFIGURATIONS_MAX }
    const found = search(operations, keysTogether(h, keys), limits)
    if (found.kind === 'gave-up') return undecided
    if (found.kind === 'linearizable') continue
    if (level !== 'strict-serializable') return undecided
    return { verdict: 'invalid', anomalies: [noOrder(h, operations, found.operation)] }
  }
  return { verdict: 'valid', anomalies: [] }
}

/** Whether the history tells when each transaction was sent, and when it was answered. */
function timed(h: TransactionHistory): boolean {
  for (let t = 0; t < h.transactions; t++) {
    if ((h.invokedAt[t] as number) < 0 && h.status[t] !== FAIL) return false
    if ((h.completedAt[t] as number) < 0 && h.status[t] === OK) return false
  }
  return true
}

interface JoinedObject {
  readonly keys: readonly number[]
  readonly operations: Operation[]
}

/** The transactions as operations, with those apart that share no key, not even through others. */
function joinedObjects(h: TransactionHistory): Iterable<JoinedObject> {
  const parent = Int32Array.from({ length: h.keys }, (_, key) => key)
  const root = (key: number): number => {
    let at = key
    while (parent[at] !== at) {
      parent[at] = parent[parent[at] as number] as number
      at = parent[at] as number
    }
    return at
  }
  for (let t = 0; t < h.transactions; t++) {
    const first = h.first[t] as number
    for (let op = first + 1; op < (h.first[t + 1] as number); op++) {
      parent[root(h.key[op] as number)] = root(h.key[first] as number)
    }
  }
  const objects = new Map<number, { keys: number[]; operations: Operation[] }>()
  for (let key = 0; key < h.keys; key++) {
    const of = objects.get(root(key))
    if (of === undefined) objects.set(root(key), { keys: [key], operations: [] })
    else of.keys.push(key)
  }
  for (let t = 0; t < h.transactions; t++) {
    const first = h.first[t] as number
    if (first === h.first[t + 1] || h.status[t] === FAIL) continue
    objects.get(root(h.key[first] as number))?.operations.push(operationOf(h, t))
  }
  return objects.values()
}

/** `invokedLine` is the transaction's number. The search counts as concurrent what is sent at the instant of an answer. */
function operationOf(h: TransactionHistory, t: number): Operation {
  const known = h.status[t] === OK
  return {
    process: h.session[t] as number,
    f: 'txn',
    input: microOperations(h, t),
    output: null,
    known,
    key: undefined,
    invokedAt: h.invokedAt[t] as number,
    completedAt: known ? (h.completedAt[t] as number) : Number.POSITIVE_INFINITY,
    invokedLine: t,
    completedLine: t,
  }
}

/** `[kind, key, value]`, where a list that was read is its elements. Reads without an answer tell nothing. */
type Micro = readonly [kind: number, key: number, value: number | readonly number[]]

function microOperations(h: TransactionHistory, t: number): Micro[] {
  const all: Micro[] = []
  for (let op = h.first[t] as number; op < (h.first[t + 1] as number); op++) {
    const kind = h.kind[op] as number
    const value = h.value[op] as number
    if (kind !== WRITE && (h.status[t] !== OK || value === NOT_RECORDED)) continue
    all.push([kind, h.key[op] as number, kind === READ_LIST ? elements(h, value) : value])
  }
  return all
}

function elements(h: TransactionHistory, list: number): number[] {
  const items = [...h.items.subarray(h.listFirst[list] as number, h.listFirst[list + 1] as number)]
  return h.unordered ? [...new Set(items)].sort((a, b) => a - b) : items
}

type State = readonly (number | readonly number[])[]

/** All keys of one object, each with its value or its list; a transaction is one step. */
function keysTogether(h: TransactionHistory, keys: readonly number[]): Model<State> {
  const place = new Map(keys.map((key, at) => [key, at]))
  const lists = h.listFirst.length > 1
  return {
    name: 'keys',
    init: () => keys.map(() => (lists ? [] : NIL)),
    hash: (state) => state.join(';'),
    readOnly: ({ input }) => (input as Micro[]).every(([kind]) => kind !== WRITE),
    step(state, { input }) {
      let next: (number | readonly number[])[] | undefined
      for (const [kind, key, value] of input as Micro[]) {
        const at = place.get(key) as number
        const now = (next ?? state)[at]
        if (kind === WRITE) {
          next ??= [...state]
          next[at] = lists ? added(h, now as readonly number[], value as number) : (value as number)
        } else if (`${now}` !== `${value}`) return undefined
      }
      return next ?? state
    },
  }
}

function added(h: TransactionHistory, list: readonly number[], value: number): readonly number[] {
  if (!h.unordered) return [...list, value]
  return list.includes(value) ? list : [...list, value].sort((a, b) => a - b)
}

function noOrder(h: TransactionHistory, operations: readonly Operation[], stuck: number): TransactionAnomaly {
  const { invokedLine: t, completedAt } = operations[stuck] as Operation
  const near = operations
    .filter((o) => o.invokedLine !== t && o.invokedAt <= completedAt)
    .sort((a, b) => b.completedAt - a.completedAt)
    .slice(0, 12)
  return {
    type: 'no-serial-order',
    transactions: [t, ...near.map((o) => o.invokedLine).reverse()],
    explanation: `${h.showTransaction(t)} has no place: the transactions that had been answered before it have an order that real time and their reads allow, with it there is none, in whatever order and from whichever writer its reads came.`,
  }
}
