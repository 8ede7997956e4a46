import {
  FAIL,
  INFO,
  NIL,
  NOT_RECORDED,
  OK,
  READ,
  READ_LIST,
  type TransactionHistory,
  WRITE,
} from './history.ts'

/** In `source`: a read whose value several transactions wrote; and an operation that reads nothing from outside. */
const AMBIGUOUS = -3
const NOTHING = -4

/** A violation that shows without a cycle, by the name that the literature or Elle gives it. */
export interface Finding {
  readonly type: string
  readonly transactions: readonly number[]
  readonly text: string
}

/** Which write each read saw, who committed, and the versions that were installed. */
export interface Reads {
  /** 1 for `ok`, and for an unanswered transaction of which somebody saw a write. */
  readonly committed: Uint8Array
  readonly transactionOf: Int32Array
  /** Per micro-operation: the write that an external read of a committed transaction saw, `NIL`, `AMBIGUOUS`, `NOTHING`. */
  readonly source: Int32Array
  /** Per micro-operation: 1 for the last write of a key by a committed transaction. */
  readonly installed: Uint8Array
  /** Per key, for lists: the installed writes in the order of the longest list that was read. */
  readonly listOrder: ReadonlyMap<number, readonly number[]> | undefined
  /** For lists: an append that its transaction went on from, and the next append, by another transaction. */
  readonly interleaved: readonly (readonly [number, number])[]
  readonly findings: readonly Finding[]
  readonly findingCounts: ReadonlyMap<string, number>
  readonly ambiguous: number
}

const EXAMPLES_MAX = 8
const MANY = -2

/** Resolves every read to a write and notes what no order of versions could explain. One pass, linear. */
export function resolveReads(h: TransactionHistory): Reads {
  const n = h.transactions
  const ops = h.kind.length
  const transactionOf = new Int32Array(ops)
  const lastWrite = new Uint8Array(ops)
  const writer = new Int32Array(h.values.size).fill(-1)
  const findings: Finding[] = []
  const findingCounts = new Map<string, number>()

  const note = (type: string, transactions: readonly number[], text: () => string): void => {
    const count = findingCounts.get(type) ?? 0
    findingCounts.set(type, count + 1)
    if (count < EXAMPLES_MAX) findings.push({ type, transactions, text: text() })
  }
  const name = (t: number): string => h.showTransaction(t)
  const pair = (op: number): string =>
    `${h.showKey(h.key[op] as number)} = ${h.showValue(h.value[op] as number)}`

  // Who wrote what. `lastOp` is the latest write of each key in the transaction at hand, or an older one's, stale.
  const lastOp = new Int32Array(h.keys).fill(-1)
  let repeated = false
  for (let t = 0; t < n; t++) {
    const begin = h.first[t] as number
    const end = h.first[t + 1] as number
    for (let op = begin; op < end; op++) {
      transactionOf[op] = t
      if (h.kind[op] !== WRITE) continue
      const key = h.key[op] as number
      const before = lastOp[key] as number
      if (before >= begin) lastWrite[before] = 0
      lastWrite[op] = 1
      lastOp[key] = op
      const value = h.value[op] as number
      const other = writer[value] as number
      if (other === -1) writer[value] = op
      else if (other !== MANY) {
        // What certainly rolled back gives way: if it was the one seen, the read is an aborted read anyway.
        const failedBefore = h.status[transactionOf[other] as number] === FAIL
        const failedNow = h.status[t] === FAIL
        if (failedBefore && !failedNow) writer[value] = op
        else if (!failedBefore && !failedNow) {
          writer[value] = MANY
          repeated = true
        }
      }
    }
  }

  const byVersion = repeated ? writesByVersion(h, writer, transactionOf) : undefined
  const source = new Int32Array(ops).fill(NOTHING)
  const committed = new Uint8Array(n)
  for (let t = 0; t < n; t++) if (h.status[t] === OK) committed[t] = 1
  let ambiguous = 0

  /** Notes what is wrong with seeing `write` from outside; false where it is nobody's. */
  const observe = (t: number, op: number, write: number, whole: boolean): void => {
    const by = transactionOf[write] as number
    const status = h.status[by]
    if (status === INFO) committed[by] = 1
    if (status === FAIL) {
      note('G1a', [by, t], () => `${name(t)} read ${pair(write)}, which ${name(by)} wrote and rolled back.`)
    } else if (whole && lastWrite[write] === 0 && by !== t) {
      note(
        'G1b',
        [by, t],
        () =>
          `${name(t)} read ${pair(write)}, which ${name(by)} overwrote before it committed: an intermediate state.`,
      )
    }
    if (op < write && by === t) {
      note('future-read', [t], () => `${name(t)} read ${pair(write)} before it wrote it.`)
    }
  }

  const lists = h.listFirst.length > 1
  const longest = new Int32Array(lists ? h.keys : 0).fill(-1)
  const lengthOf = (list: number): number => (h.listFirst[list + 1] as number) - (h.listFirst[list] as number)
  const seenIn = new Int32Array(lists ? h.values.size : 0).fill(-1)
  const lastRead = new Int32Array(h.keys).fill(-1)
  const lastOwn = new Int32Array(h.keys).fill(-1)

  const readOne = (t: number, op: number, begin: number): void => {
    const value = h.value[op] as number
    if (value === NOT_RECORDED) return
    const key = h.key[op] as number
    const own = lastOwn[key] as number
    if (own >= begin) {
      if (h.value[own] !== value) {
        note('internal', [t], () => `${name(t)} wrote ${pair(own)} and then read ${pair(op)}.`)
      }
      return
    }
    let from: number
    if (value === NIL) from = NIL
    else {
      from = writer[value] as number
      const version = h.version?.[op]
      if (from === MANY && version !== undefined && !Number.isNaN(version)) {
        const exact = byVersion?.get(`${key} ${version}`)
        if (exact !== undefined && h.value[exact] === value) from = exact
      }
      if (from === -1) {
        note('garbage', [t], () => `${name(t)} read ${pair(op)}, which nobody wrote.`)
        return
      }
      if (from === MANY) {
        ambiguous++
        source[op] = AMBIGUOUS
        return
      }
      observe(t, op, from, true)
      if (transactionOf[from] === t) return
    }
    const before = lastRead[key] as number
    if (before >= begin && source[before] !== from && source[before] !== AMBIGUOUS) {
      note('non-repeatable-read', [t], () => `${name(t)} read ${pair(before)} and then ${pair(op)}.`)
    }
    source[op] = from
    lastRead[key] = op
  }

  const readList = (t: number, op: number, begin: number): void => {
    const key = h.key[op] as number
    const list = h.value[op] as number
    const from = h.listFirst[list] as number
    const to = h.listFirst[list + 1] as number
    let own = 0
    for (let o = begin; o < op; o++) if (h.kind[o] === WRITE && h.key[o] === key) own++
    let clean = true
    for (let i = from; i < to; i++) {
      const item = h.items[i] as number
      // Of a value that several appended, twice is not once too often.
      if (seenIn[item] === op && writer[item] !== MANY) {
        clean = false
        note(
          'duplicate',
          [t],
          () => `${name(t)} read ${h.showValue(item)} twice in the list of ${h.showKey(key)}.`,
        )
        continue
      }
      seenIn[item] = op
      const write = writer[item] as number
      if (write === -1) {
        clean = false
        note(
          'garbage',
          [t],
          () => `${name(t)} read ${h.showValue(item)} in ${h.showKey(key)}, which nobody wrote.`,
        )
      } else if (write === MANY) {
        ambiguous++
        clean = false
      } else observe(t, op, write, false)
    }
    // Its own appends so far must be the end of the list; what lies before them is what it saw from outside.
    const outside = to - own
    let o = op
    for (let i = to - 1; i >= outside; i--) {
      do o--
      while (h.kind[o] !== WRITE || h.key[o] !== key)
      if (i < from || h.items[i] !== h.value[o]) {
        note(
          'internal',
          [t],
          () =>
            `${name(t)} appended ${h.showValue(h.value[o] as number)} to ${h.showKey(key)} and its read of ${h.showKey(key)} does not end with it.`,
        )
        return
      }
    }
    if (!clean) return
    if (longest[key] === -1 || to - from > lengthOf(longest[key] as number)) longest[key] = list
    const write = outside === from ? NIL : (writer[h.items[outside - 1] as number] as number)
    if (write !== NIL && transactionOf[write] === t) return // a future read, already noted
    if (write !== NIL && lastWrite[write] === 0) observe(t, op, write, true)
    const before = lastRead[key] as number
    if (before >= begin) {
      if (source[before] !== write) {
        note('non-repeatable-read', [t], () => `${name(t)} read two different states of ${h.showKey(key)}.`)
      }
    }
    source[op] = write
    lastRead[key] = op
  }

  for (let t = 0; t < n; t++) {
    if (h.status[t] !== OK) continue
    const begin = h.first[t] as number
    const end = h.first[t + 1] as number
    for (let op = begin; op < end; op++) {
      const kind = h.kind[op]
      if (kind === WRITE) lastOwn[h.key[op] as number] = op
      else if (kind === READ) readOne(t, op, begin)
      else if (kind === READ_LIST && !h.unordered) readList(t, op, begin)
    }
  }

  const placed = new Uint8Array(lists ? ops : 0)
  const interleaved: [number, number][] = []
  const listOrder = lists && !h.unordered ? orderLists() : undefined
  const installed = new Uint8Array(ops)
  for (let op = 0; op < ops; op++) {
    if (lastWrite[op] === 1 && committed[transactionOf[op] as number] === 1) installed[op] = 1
  }
  return {
    committed,
    transactionOf,
    source,
    installed,
    listOrder,
    interleaved,
    findings,
    findingCounts,
    ambiguous,
  }

  /** The longest list of a key is its order of versions; every other list of the key must be its beginning. */
  function orderLists(): Map<number, readonly number[]> {
    for (let t = 0; t < n; t++) {
      if (h.status[t] !== OK) continue
      for (let op = h.first[t] as number; op < (h.first[t + 1] as number); op++) {
        if (h.kind[op] !== READ_LIST) continue
        const key = h.key[op] as number
        const whole = longest[key] as number
        if (whole === -1) continue
        const from = h.listFirst[h.value[op] as number] as number
        const length = lengthOf(h.value[op] as number)
        const start = h.listFirst[whole] as number
        let i = 0
        while (i < length && i < lengthOf(whole) && h.items[from + i] === h.items[start + i]) i++
        // A list of values that several appended is not the longest, and may be longer.
        if (i < length && i < lengthOf(whole)) {
          source[op] = NOTHING
          note(
            'incompatible-order',
            [t],
            () =>
              `${name(t)} read a list of ${h.showKey(key)} that is not the beginning of the longest one: no order of appends explains both.`,
          )
        }
      }
    }
    const order = new Map<number, readonly number[]>()
    for (let key = 0; key < h.keys; key++) {
      const whole = longest[key] as number
      if (whole === -1) continue
      const chain: number[] = []
      const start = h.listFirst[whole] as number
      for (let i = start; i < (h.listFirst[whole + 1] as number); i++) {
        const write = writer[h.items[i] as number] as number
        const by = transactionOf[write] as number
        if (lastWrite[write] === 1 && committed[by] === 1) chain.push(write)
        appendsInOrder(key, write, by)
        const previous = i === start ? -1 : (writer[h.items[i - 1] as number] as number)
        if (previous !== -1 && lastWrite[previous] === 0 && transactionOf[previous] !== by) {
          interleaved.push([previous, write])
        }
      }
      order.set(key, chain)
    }
    return order
  }

  /** What a transaction appended to the key before `write` must have been seen before it. */
  function appendsInOrder(key: number, write: number, by: number): void {
    placed[write] = 1
    for (let op = write - 1; op >= (h.first[by] as number); op--) {
      if (h.kind[op] !== WRITE || h.key[op] !== key) continue
      if (placed[op] === 0) {
        note(
          'incompatible-order',
          [by],
          () =>
            `${name(by)} appended ${h.showValue(h.value[op] as number)} to ${h.showKey(key)} before ${h.showValue(h.value[write] as number)}, and the list does not hold it before that.`,
        )
      }
      return
    }
  }
}

/** For values that several transactions wrote: the write by key and version. */
function writesByVersion(
  h: TransactionHistory,
  writer: Int32Array,
  transactionOf: Int32Array,
): Map<string, number> {
  const found = new Map<string, number>()
  for (let op = 0; op < h.kind.length; op++) {
    if (h.kind[op] !== WRITE || writer[h.value[op] as number] !== MANY) continue
    const version = h.version?.[op]
    if (version === undefined || Number.isNaN(version) || h.status[transactionOf[op] as number] === FAIL)
      continue
    found.set(`${h.key[op]} ${version}`, op)
  }
  return found
}
