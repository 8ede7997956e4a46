import { type Clock, systemClock } from '../core/clock.ts'
import { ConfigError } from '../core/errors.ts'
import {
  type Check,
  checkArguments,
  hasMethods,
  isAge,
  isFunction,
  isName,
  isObject,
  show,
} from '../core/options.ts'
import { autocommit } from './autocommit.ts'
import type { Engine } from './engine.ts'
import { noTransactionToLockIn, refuseLoneLock } from './lock-clause.ts'
import type { Ground } from './open-transaction.ts'
import { preparedTransactions } from './prepared-transactions.ts'
import { runTransaction } from './run-transaction.ts'
import { JoinedScope, SyncScope } from './scope.ts'
import { compileSql, Sql, sql } from './sql.ts'
import type { Store } from './store.ts'
import { DEFAULTS, READ_ONLY } from './transaction-options.ts'
import { resolveWitness } from './witness.ts'
import { witnessPruner } from './witness-pruner.ts'

/** Options that every adapter takes. */
export interface StoreOptions {
  /** Put before the name of each of Holdfast's tables. Default `holdfast_`. */
  readonly prefix?: string
  /** The schema that holds Holdfast's tables. Default: none, which means the connection's search path. */
  readonly schema?: string
  readonly clock?: Clock
  /**
   * How long the witness of a transaction is kept, in milliseconds; `resolve` answers within half of it. Old ones are
   * removed beside the transactions that write new ones. Default 604 800 000 (7 days).
   */
  readonly witnessWindowMs?: number
}

export const STORE_OPTION_NAMES = ['prefix', 'schema', 'clock', 'witnessWindowMs'] as const

const WITNESS_WINDOW_MS = 7 * 86_400_000

/** PostgreSQL cuts names at 63 bytes, which would make one of two of ours; the longest has 21 without the prefix. */
const PREFIX_MAX_BYTES = 32

export function storeChecks({ prefix, schema, witnessWindowMs }: StoreOptions): Check[] {
  return [
    witnessWindowMs === undefined ||
      (isAge('witnessWindowMs', witnessWindowMs) === true && witnessWindowMs >= 1_000) ||
      `witnessWindowMs must be a number of milliseconds from 1000, got ${show(witnessWindowMs)}`,
    prefix === undefined || prefix === '' || isName('prefix', prefix, PREFIX_MAX_BYTES),
    typeof prefix !== 'string' ||
      Buffer.byteLength(prefix) <= PREFIX_MAX_BYTES ||
      `prefix must have at most ${PREFIX_MAX_BYTES} bytes`,
    schema === undefined || isName('schema', schema, 63),
  ]
}

/** Makes a Store of an adapter's engine: the rules of transactions, written once for all databases. */
export function createStore(engine: Engine, options: StoreOptions): Store {
  checkArguments(
    'createStore',
    hasMethods('engine', engine, 'an adapter of a database', 'begin', 'adopt', 'close'),
    isObject('options', options),
  )
  const { prefix = 'holdfast_', schema, clock = systemClock, witnessWindowMs = WITNESS_WINDOW_MS } = options

  const ground: Ground = {
    engine,
    witnessed: () => pruneOldWitnesses(),
    get store() {
      return store
    },
  }
  const tables = new Map<string, Sql>()
  const store: Store = {
    dialect: engine.dialect,
    clock,
    table(name) {
      let table = tables.get(name)
      if (table === undefined) {
        table = schema === undefined ? sql.ident(prefix + name) : sql.ident(schema, prefix + name)
        tables.set(name, table)
      }
      return table
    },
    tableName: (name) => prefix + name,

    transaction: (work, given = DEFAULTS) => runTransaction(ground, work, given),

    read: (statement, values) => runTransaction(ground, (tx) => tx.query(statement, values), READ_ONLY, true),

    autocommit: (statement, given = DEFAULTS) => autocommit(ground, statement, given),

    async query(statement, values) {
      refuseLoneLock(textOf(statement), engine.dialect.name)
      return store.transaction((tx) => tx.query(statement, values))
    },
    async execute(statement, values) {
      refuseLoneLock(textOf(statement), engine.dialect.name)
      return store.transaction((tx) => tx.execute(statement, values))
    },
    lockRows: () => Promise.reject(noTransactionToLockIn()),

    async join(handle, work) {
      checkArguments('join', isFunction('the callback', work))
      const scope = new JoinedScope(store, engine.adopt(handle))
      try {
        const result = await work(scope)
        const last = await scope.flush()
        if (last !== undefined) await scope.runLast(last)
        return result
      } finally {
        scope.end()
        // A statement that still waits for its turn would otherwise be sent after the user's ROLLBACK, and stand.
        if (scope.busy) await scope.quiet()
      }
    },

    joinSync(handle, work) {
      checkArguments('joinSync', isFunction('the callback', work))
      const scope = new SyncScope(store, engine.adoptSync(handle))
      try {
        const result = work(scope)
        if (result instanceof Promise) {
          result.catch(() => {})
          throw new ConfigError('joinSync', [
            'the callback must be synchronous; use join for an asynchronous one',
          ])
        }
        return result
      } finally {
        scope.end()
      }
    },

    resolve: (error) => resolveWitness(store, error, witnessWindowMs),
    prepared: engine.prepared && preparedTransactions(ground, engine.prepared),
    close: () => engine.close(),
    [Symbol.asyncDispose]: () => engine.close(),
  }
  const pruneOldWitnesses = witnessPruner(store, witnessWindowMs)
  return store

  function textOf(statement: Sql | string): string {
    if (typeof statement === 'string') return statement
    return statement instanceof Sql ? compileSql(statement, engine.dialect).text : '' // refused when it is run
  }
}
