import { ConfigError } from '../core/errors.ts'
import {
  checkArguments,
  checkOptions,
  hasMethods,
  isAge,
  isCount,
  isFunction,
  isName,
  isObject,
  isSchema,
} from '../core/options.ts'
import type { StandardSchemaV1 } from '../core/standard-schema.ts'
import { isStore, isStoreOrTransaction } from '../store/arguments.ts'
import type { Store } from '../store/store.ts'
import type { SyncTransaction, Transaction } from '../store/transaction.ts'
import type { SagaContext } from './context.ts'
import { type SagaHandle, sagaHandle } from './handle.ts'
import { prepareStart, type StartOptions, startAlone, startIn, startSync } from './start.ts'

export interface SagaOptions<Input> {
  /** A saga that is not past its pivot after so long is undone. Default: none. */
  readonly timeoutMs?: number
  /** Checked when the saga is started. */
  readonly schema?: StandardSchemaV1<unknown, Input>
  /** Runners work for one group. Give the sagas of different programs on one database different groups. Default `default`. */
  readonly group?: string
  /** How many of these run at a time, in all processes together. */
  readonly concurrency?: number
  /** What `concurrencyPerKey` and `rate` are counted by; without it, for all of these sagas together. */
  readonly key?: (input: Input) => string
  readonly concurrencyPerKey?: number
  /** So many are begun in each window of `perMs`, for each key. */
  readonly rate?: { readonly limit: number; readonly perMs: number }
}

interface ResolvedSagaOptions {
  readonly timeoutMs: number | undefined
  readonly schema: StandardSchemaV1<unknown, unknown> | undefined
  readonly group: string
  readonly concurrency: number | undefined
  readonly key: ((input: never) => string) | undefined
  readonly concurrencyPerKey: number | undefined
  readonly rate: { readonly limit: number; readonly perMs: number } | undefined
}

/** A durable function: a name, its code, and how it is started. */
export interface Saga<Input, Output> {
  readonly name: string
  readonly options: ResolvedSagaOptions
  /** True when something bounds how many run, so that each has to be admitted. */
  readonly isLimited: boolean
  readonly code: (s: SagaContext, input: Input) => Promise<Output>

  /**
   * Starts the saga: in the caller's transaction, so that it exists if and only if that commits, or, given a store, in
   * one of its own.
   *
   * Guarantee: idempotent by `id`. A saga that exists is left as it is; another saga or another input under that id is
   * refused. The input must be what JSON holds: plain objects, arrays, strings, finite numbers, booleans, null, and
   * `undefined` as a whole; no bigint, no Date, no class instance, nothing that contains itself, at most 1 MiB.
   * @throws PayloadError, ConfigError before anything was written; SagaIdTakenError
   */
  start(target: Transaction | Store, input: Input, options?: StartOptions): Promise<SagaHandle<Output>>
  /**
   * `start` in a synchronous SQLite transaction, at once: the saga exists when that commits. A runner finds it at its next
   * poll.
   * @throws ConfigError for a schema that checks asynchronously
   */
  startSync(tx: SyncTransaction, input: Input, options?: StartOptions): SagaHandle<Output>
  /** Starts the saga and awaits its end. */
  run(store: Store, input: Input, options?: StartOptions): Promise<Output>
  /** The handle of a saga that was started, here or elsewhere. */
  get(store: Store, id: string): SagaHandle<Output>
}

/**
 * Defines a saga. Its code is a plain async function, which must do everything that has an effect, or that differs from
 * one run to the next, through `s`: it is run again from its start after a crash or a long wait, and then finds what it
 * did before in the journal.
 * @throws ConfigError with every problem of the options
 */
export function saga<Input = undefined, Output = void>(
  name: string,
  code: (s: SagaContext, input: Input) => Promise<Output>,
  given: SagaOptions<Input> = {},
): Saga<Input, Output> {
  const options = resolveSagaOptions(name, code, given as SagaOptions<unknown>)
  const { concurrency, concurrencyPerKey, rate } = options
  const subject = `start of saga "${name}"`
  const definition: Saga<Input, Output> = {
    name,
    options,
    isLimited: concurrency !== undefined || concurrencyPerKey !== undefined || rate !== undefined,
    code,
    async start(target, input, startOptions = {}) {
      checkArguments(subject, isStoreOrTransaction(target), isObject('options', startOptions))
      const store = isTransaction(target) ? target.store : target
      const row = await prepareStart(
        definition as Saga<unknown, unknown>,
        store.clock.now(),
        input,
        startOptions,
      )
      if (isTransaction(target)) await startIn(target, row)
      else await startAlone(target, row)
      return sagaHandle<Output>(store, row.id)
    },
    startSync(tx, input, startOptions = {}) {
      checkArguments(
        `startSync of saga "${name}"`,
        hasMethods('tx', tx, 'the transaction that store.joinSync gives', 'querySync'),
        isObject('options', startOptions),
      )
      const row = prepareStart(
        definition as Saga<unknown, unknown>,
        tx.store.clock.now(),
        input,
        startOptions,
      )
      if (row instanceof Promise) {
        row.catch(() => {})
        throw new ConfigError(`startSync of saga "${name}"`, [
          'the schema of the input checks asynchronously; use start',
        ])
      }
      startSync(tx, row)
      return sagaHandle<Output>(tx.store, row.id)
    },
    async run(store, input, startOptions) {
      checkArguments(`run of saga "${name}"`, isStore(store))
      const handle = await definition.start(store, input, startOptions)
      return handle.result()
    },
    get: (store, id) => sagaHandle<Output>(store, id),
  }
  return Object.freeze(definition)
}

function isTransaction(target: Transaction | Store): target is Transaction {
  return 'joined' in target
}

function resolveSagaOptions(name: string, code: unknown, given: SagaOptions<unknown>): ResolvedSagaOptions {
  checkArguments(
    'saga',
    isName('the name', name, 150),
    isFunction('the code', code),
    isObject('options', given),
  )
  const { timeoutMs, schema, group = 'default', concurrency, key, concurrencyPerKey, rate } = given
  checkOptions(
    `saga "${name}"`,
    given,
    ['timeoutMs', 'schema', 'group', 'concurrency', 'key', 'concurrencyPerKey', 'rate'],
    [
      timeoutMs === undefined || isAge('timeoutMs', timeoutMs),
      schema === undefined || isSchema('schema', schema),
      isName('group', group, 100),
      typeof group !== 'string' || !group.includes('/') || 'group must have no "/"',
      concurrency === undefined || isCount('concurrency', concurrency, 1, 1_000_000),
      concurrencyPerKey === undefined || isCount('concurrencyPerKey', concurrencyPerKey, 1, 1_000_000),
      key === undefined || typeof key === 'function' || 'key must be a function of the input',
      rate === undefined ||
        (isObject('rate', rate) === true &&
          isCount('rate.limit', rate.limit, 1, 1_000_000) === true &&
          Number.isFinite(rate.perMs) &&
          rate.perMs >= 1) ||
        'rate must be { limit, perMs }, each at least 1',
    ],
  )
  return { timeoutMs, schema, group, concurrency, key: key as never, concurrencyPerKey, rate }
}
