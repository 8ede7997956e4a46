import { isDeepStrictEqual } from 'node:util'
import { type Backoff, backoffMs } from '../core/backoff.ts'
import { checkArguments, checkOptions, isCount, isFunction, isObject } from '../core/options.ts'
import { isStoreOrTransaction } from '../store/arguments.ts'
import type { SqlValue } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { Row, Transaction } from '../store/transaction.ts'
import { MergeConflictError, RowNotFoundError, VersionConflictError } from './errors.ts'
import {
  type Changes,
  checkRow,
  type Key,
  readVersioned,
  resolveVersionOptions,
  updateVersioned,
  type Version,
  type Versioned,
  type VersionOptions,
} from './version.ts'

export interface MergeFieldsOptions {
  /** Decides a column that both sides changed. Without it such a column is a MergeConflictError. */
  readonly onConflict?: (
    column: string,
    values: { readonly base: unknown; readonly mine: unknown; readonly theirs: unknown },
  ) => SqlValue
}

/**
 * Merges two updates of one row, column by column, against the row that both started from: updates of different columns
 * both stand, and equal updates of one column are one.
 *
 * Shape: the columns to write over `theirs`; empty when there is nothing left to write. Columns missing from `mine` count
 * as unchanged. Pure.
 * @throws MergeConflictError, naming all columns that differ on both sides
 */
export function mergeFields(
  sides: { readonly base: object; readonly mine: object; readonly theirs: object },
  options: MergeFieldsOptions = {},
): Changes {
  checkArguments('mergeFields', isObject('the sides', sides), isObject('options', options))
  checkArguments(
    'mergeFields',
    isObject('base', sides.base),
    isObject('mine', sides.mine),
    isObject('theirs', sides.theirs),
  )
  const { onConflict } = options
  checkOptions(
    'mergeFields',
    options,
    ['onConflict'],
    [onConflict === undefined || isFunction('onConflict', onConflict)],
  )
  const base = sides.base as Row
  const theirs = sides.theirs as Row
  const changes: Record<string, SqlValue> = {}
  const conflicts: string[] = []
  for (const [column, mine] of Object.entries(sides.mine as Row)) {
    if (isDeepStrictEqual(mine, base[column]) || isDeepStrictEqual(mine, theirs[column])) continue
    if (isDeepStrictEqual(theirs[column], base[column])) changes[column] = mine as SqlValue
    else if (onConflict === undefined) conflicts.push(column)
    else {
      const decided = onConflict(column, { base: base[column], mine, theirs: theirs[column] })
      if (!isDeepStrictEqual(decided, theirs[column])) changes[column] = decided
    }
  }
  if (conflicts.length > 0) throw new MergeConflictError(conflicts)
  return changes
}

export interface MergeOptions extends VersionOptions {
  /** Bound of reads and merges together. Default 10. */
  readonly attemptsMax?: number
  readonly signal?: AbortSignal
}

const BACKOFF: Backoff = { baseMs: 2, capMs: 100 }

/**
 * Reads the row, asks `merge` what to change, and updates under the version read; on a conflict it reads again and asks
 * again, after a jittered wait. Gives the row as read and its new version.
 *
 * With a store, each attempt is a transaction of its own; with a transaction, all are part of it. `merge` may run
 * several times, so it must do nothing but decide; an empty object (or undefined) means that nothing is left to write.
 * @throws VersionConflictError after `attemptsMax` attempts; RowNotFoundError; whatever `merge` throws
 */
export async function mergeVersioned<R extends object = Row>(
  on: Store | Transaction,
  table: string,
  key: Key,
  merge: (current: R, attempt: number) => Changes | undefined | Promise<Changes | undefined>,
  options: MergeOptions = {},
): Promise<Versioned<R>> {
  checkArguments(
    'mergeVersioned',
    isStoreOrTransaction(on),
    isFunction('merge', merge),
    isObject('options', options),
  )
  checkRow('mergeVersioned', table, key)
  const { attemptsMax = 10, signal, ...versionOptions } = options
  checkOptions(
    'mergeVersioned',
    versionOptions,
    ['column', 'kind', 'attemptsMax', 'signal'],
    [isCount('attemptsMax', attemptsMax, 1, 1000)],
  )
  resolveVersionOptions(versionOptions)
  const { clock } = 'store' in on ? on.store : on
  const stop = signal ?? ('signal' in on ? on.signal : undefined)
  for (let attempt = 1; ; attempt++) {
    try {
      return 'store' in on
        ? await mergeOnce(on, attempt)
        : await on.transaction((tx) => mergeOnce(tx, attempt), { ...(signal && { signal }) })
    } catch (error) {
      if (!(error instanceof VersionConflictError) || error.actual === undefined) throw error
      if (attempt >= attemptsMax) throw error
      await clock.sleep(backoffMs(attempt, BACKOFF, clock), stop)
    }
  }

  async function mergeOnce(tx: Transaction, attempt: number): Promise<Versioned<R>> {
    const current = await readVersioned<R>(tx, table, key, versionOptions)
    if (current === undefined) throw new RowNotFoundError(table)
    const changes = await merge(current.row, attempt)
    if (changes === undefined || Object.keys(changes).length === 0) return current
    const version: Version = await updateVersioned(tx, table, key, current.version, changes, versionOptions)
    return { row: current.row, version }
  }
}
