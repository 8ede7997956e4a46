import { IntVector, NumberVector } from './int-vector.ts'
import { type Datum, PairTable, Tokens } from './intern.ts'

/** How a transaction ended: it committed, it certainly did not, or nobody knows. */
export const OK = 0
export const FAIL = 1
export const INFO = 2

/** What a micro-operation does. `READ` sees one value, `READ_LIST` a whole list or set; an append is a `WRITE`. */
export const READ = 0
export const WRITE = 1
export const READ_LIST = 2

/** In place of a value: the initial state, which nobody wrote; and a read whose answer was not recorded. */
export const NIL = -1
export const NOT_RECORDED = -2

/**
 * How the level's definition is read when a history comes from the outside. `adya`: cycles of dependencies, a
 * session's own order counts only in the levels named for it (what Jepsen's tools do). `axiomatic`: Biswas and Enea's
 * axioms, in which a session's order is part of every level (what checkers of session histories do).
 */
export type Definition = 'adya' | 'axiomatic'

/**
 * The history of a run in columns. Transactions are numbered from 0, those of one session in the session's order;
 * their micro-operations lie in `kind`, `key`, `value` from `first[t]` up to `first[t + 1]`.
 */
export interface TransactionHistory {
  readonly transactions: number
  readonly definition: Definition
  readonly status: Uint8Array
  /** Number of the session (client, process). */
  readonly session: Int32Array
  readonly sessions: number
  /** Position of the invocation and of the answer in real time; -1 where the history does not tell. */
  readonly invokedAt: Int32Array
  readonly completedAt: Int32Array
  readonly first: Int32Array
  readonly kind: Uint8Array
  readonly key: Int32Array
  /** Number of the value (one per key and value), `NIL`, `NOT_RECORDED`, or for `READ_LIST` the number of the list. */
  readonly value: Int32Array
  /** The version that the database gave to what was read or written, NaN where unknown; absent when never known. */
  readonly version: Float64Array | undefined
  readonly keys: number
  readonly values: PairTable
  /** Elements of list i are `items[listFirst[i]]` up to `items[listFirst[i + 1]]`, as numbers of values. */
  readonly listFirst: Int32Array
  readonly items: Int32Array
  /** True when lists are sets: no order among their elements. */
  readonly unordered: boolean
  showKey(key: number): string
  showValue(value: number): string
  showSession(session: number): string
  /** What names a transaction to the reader, such as `line 12` or `operation 7`. */
  showTransaction(transaction: number): string
}

const KEYS_DIRECT = 2 ** 23
const SESSIONS_DIRECT = 1024

export interface BegunTransaction {
  readonly session: Datum
  readonly status: number
  readonly invokedAt?: number
  readonly completedAt?: number
  /** Line or index in the source, for messages. */
  readonly at: number
}

/** Builds a `TransactionHistory`, one transaction after the other. */
export class TransactionHistoryBuilder {
  readonly tokens = new Tokens()
  readonly #keyOf = new Map<number, number>()
  /** The same for small whole numbers, which need no map. */
  #keyDirect = new Int32Array(1024).fill(-1)
  readonly #keyTokens = new NumberVector()
  readonly #sessionOf = new Map<number, number>()
  readonly #sessionDirect = new Int32Array(SESSIONS_DIRECT).fill(-1)
  readonly #sessionTokens = new NumberVector()
  readonly #values = new PairTable()
  readonly #status = new IntVector()
  readonly #session = new IntVector()
  readonly #invokedAt = new IntVector()
  readonly #completedAt = new IntVector()
  readonly #at = new IntVector()
  readonly #first = new IntVector()
  readonly #kind = new IntVector()
  readonly #key = new IntVector()
  readonly #value = new IntVector()
  #version: NumberVector | undefined
  readonly #listFirst = new IntVector()
  readonly #items = new IntVector()

  begin(transaction: BegunTransaction): void {
    this.beginToken(
      this.tokens.of(transaction.session),
      transaction.status,
      transaction.invokedAt ?? -1,
      transaction.completedAt ?? -1,
      transaction.at,
    )
  }

  beginToken(session: number, status: number, invokedAt: number, completedAt: number, at: number): void {
    let number = session < SESSIONS_DIRECT ? this.#sessionDirect[session] : this.#sessionOf.get(session)
    if (number === undefined || number === -1) {
      number = this.#sessionTokens.length
      if (session < SESSIONS_DIRECT) this.#sessionDirect[session] = number
      else this.#sessionOf.set(session, number)
      this.#sessionTokens.push(session)
    }
    this.#first.push(this.#kind.length)
    this.#session.push(number)
    this.#status.push(status)
    this.#invokedAt.push(invokedAt)
    this.#completedAt.push(completedAt)
    this.#at.push(at)
  }

  /** A read of one value; `null` is the initial state, `undefined` an answer that was not recorded. */
  read(key: Datum, value: Datum | null | undefined, version?: number): void {
    const k = this.keyNumber(this.tokens.of(key))
    this.op(
      READ,
      k,
      value === null ? NIL : value === undefined ? NOT_RECORDED : this.#number(k, value),
      version,
    )
  }

  write(key: Datum, value: Datum, version?: number): void {
    const k = this.keyNumber(this.tokens.of(key))
    this.op(WRITE, k, this.#number(k, value), version)
  }

  readList(key: Datum, items: readonly Datum[]): void {
    const k = this.keyNumber(this.tokens.of(key))
    this.#listFirst.push(this.#items.length)
    for (const item of items) this.#items.push(this.#number(k, item))
    this.op(READ_LIST, k, this.#listFirst.length - 1)
  }

  keyNumber(token: number): number {
    if (token < KEYS_DIRECT && token % 2 === 0) {
      if (token / 2 >= this.#keyDirect.length) {
        const grown = new Int32Array(Math.max(token, 2048)).fill(-1)
        grown.set(this.#keyDirect)
        this.#keyDirect = grown
      }
      const known = this.#keyDirect[token / 2] as number
      if (known !== -1) return known
      this.#keyDirect[token / 2] = this.#keyTokens.length
      this.#keyTokens.push(token)
      return this.#keyTokens.length - 1
    }
    let number = this.#keyOf.get(token)
    if (number === undefined) {
      number = this.#keyTokens.length
      this.#keyOf.set(token, number)
      this.#keyTokens.push(token)
    }
    return number
  }

  valueNumber(key: number, token: number): number {
    return this.#values.add(key, token)
  }

  op(kind: number, key: number, value: number, version?: number): void {
    if (version !== undefined && this.#version === undefined) {
      this.#version = new NumberVector()
      for (let i = 0; i < this.#kind.length; i++) this.#version.push(Number.NaN)
    }
    this.#kind.push(kind)
    this.#key.push(key)
    this.#value.push(value)
    this.#version?.push(version ?? Number.NaN)
  }

  /** `unit` names a transaction's place to the reader: `line`, `operation`, `transaction`. */
  finish(options: { definition: Definition; unit: string; unordered?: boolean }): TransactionHistory {
    this.#first.push(this.#kind.length)
    this.#listFirst.push(this.#items.length)
    const tokens = this.tokens
    const keyTokens = this.#keyTokens
    const sessionTokens = this.#sessionTokens
    const values = this.#values
    const at = this.#at
    return {
      transactions: this.#status.length,
      definition: options.definition,
      status: Uint8Array.from(this.#status.view()),
      session: this.#session.view(),
      sessions: sessionTokens.length,
      invokedAt: this.#invokedAt.view(),
      completedAt: this.#completedAt.view(),
      first: this.#first.view(),
      kind: Uint8Array.from(this.#kind.view()),
      key: this.#key.view(),
      value: this.#value.view(),
      version: this.#version?.view(),
      keys: keyTokens.length,
      values,
      listFirst: this.#listFirst.view(),
      items: this.#items.view(),
      unordered: options.unordered ?? false,
      showKey: (key) => tokens.show(keyTokens.at(key)),
      showValue: (value) => (value < 0 ? 'nil' : tokens.show(values.token(value))),
      showSession: (session) => tokens.show(sessionTokens.at(session)),
      showTransaction: (transaction) => `${options.unit} ${at.at(transaction)}`,
    }
  }

  #number(key: number, value: Datum): number {
    return this.#values.add(key, this.tokens.of(value))
  }
}
