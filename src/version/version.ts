import { ConfigError, UnsupportedError } from '../core/errors.ts'
import { checkArguments, checkOptions, isName, isObject, optionsOf, show } from '../core/options.ts'
import { isTransaction } from '../store/arguments.ts'
import { type Sql, type SqlValue, sql } from '../store/sql.ts'
import type { Row, Transaction } from '../store/transaction.ts'
import { equalTo } from '../store/where.ts'
import { VersionConflictError } from './errors.ts'

/** A `bigint` for a counter, the database's own text for a timestamp. */
export type Version = bigint | string

export type Key = Readonly<Record<string, SqlValue>>
export type Changes = Readonly<Record<string, SqlValue>>

export interface VersionOptions {
  /** The column that holds the version. Default `version`. */
  readonly column?: string
  /**
   * `counter` (the default): an integer column, one more with each update; never ambiguous.
   *
   * `timestamp`: for tables that already have an `updated_at`. Weakness: whoever writes it elsewhere may write the same
   * instant twice (PostgreSQL's `now()` is the start of the transaction, a TIMESTAMP(0) rounds to the second), and an
   * update in between is then not seen. `updateVersioned` itself always writes a later instant than it read, in steps
   * of one millisecond.
   */
  readonly kind?: 'counter' | 'timestamp'
}

export interface Versioned<R extends object = Row> {
  readonly row: R
  readonly version: Version
}

/**
 * Reads one row with its version, without locking it. Undefined when no row has that key.
 * @throws ConfigError when the key fits several rows, or the column is not there
 */
export async function readVersioned<R extends object = Row>(
  tx: Transaction,
  table: string,
  key: Key,
  options: VersionOptions = {},
): Promise<Versioned<R> | undefined> {
  checkArguments('readVersioned', isTransaction(tx))
  checkRow('readVersioned', table, key)
  const { column, kind } = resolveVersionOptions(options)
  const rows = await tx.query<Row>(
    kind === 'counter'
      ? sql`select * from ${nameOf(table)} where ${equalTo(key)}`
      : sql`select *, cast(${sql.ident(column)} as text) as ${sql.ident(TEXT)} from ${nameOf(table)} where ${equalTo(key)}`,
  )
  const [row] = rows
  if (row === undefined) return undefined
  if (rows.length > 1) throw severalRows(table, rows.length)
  const version = versionOf(row, table, column, kind)
  delete row[TEXT]
  return { row: row as R, version }
}

/**
 * Updates the row if it still has the expected version, and gives the new version.
 *
 * Guarantee: of several updates with one expected version, at most one is applied. The transaction stays usable after a
 * conflict. At repeatable read and above, the database reports the conflict itself, as a SerializationError, which
 * `store.transaction` retries.
 * @throws VersionConflictError with the version the row has now; ConfigError when the key fits several rows
 */
export async function updateVersioned(
  tx: Transaction,
  table: string,
  key: Key,
  expected: Version,
  changes: Changes,
  options: VersionOptions = {},
): Promise<Version> {
  checkArguments('updateVersioned', isTransaction(tx), isObject('changes', changes))
  checkRow('updateVersioned', table, key)
  const { column, kind } = resolveVersionOptions(options)
  checkExpected(expected, kind)
  const problems = [
    Object.keys(changes).length > 0 || 'changes is empty',
    !(column in changes) || `changes sets "${column}", which updateVersioned does itself`,
  ].filter((p) => p !== true)
  if (problems.length > 0) throw new ConfigError('updateVersioned', problems)

  const next = typeof expected === 'bigint' ? expected + 1n : nextInstant(expected, tx.store.clock.now())
  const assignments = [...Object.entries(changes), [column, next] as const].map(
    ([name, value]) => sql`${sql.ident(name)} = ${value}`,
  )
  const changed = await tx.execute(
    sql`update ${nameOf(table)} set ${sql.join(assignments)} where ${equalTo(key)} and ${sql.ident(column)} = ${expected}`,
  )
  if (changed === 1 && kind === 'counter') return next
  if (changed > 1) throw severalRows(table, changed)
  const now = await readVersioned(
    tx,
    table,
    changed === 1 ? { ...key, ...changedKey(key, changes) } : key,
    options,
  )
  if (changed === 1 && now !== undefined) return now.version // as the database writes it
  throw new VersionConflictError(table, { expected, actual: now?.version })
}

const TEXT = 'holdfast_version_text'

const VERSION_OPTION_NAMES = ['column', 'kind'] as const

export function resolveVersionOptions(given: VersionOptions): Required<VersionOptions> {
  const { column = 'version', kind = 'counter' } = optionsOf('version', given)
  checkOptions('version', given, VERSION_OPTION_NAMES, [
    (typeof column === 'string' && column !== '') || 'column must be a non-empty string',
    kind === 'counter' || kind === 'timestamp' || `kind must be counter or timestamp, got ${show(kind)}`,
  ])
  return { column, kind }
}

function versionOf(row: Row, table: string, column: string, kind: 'counter' | 'timestamp'): Version {
  const value = row[kind === 'counter' ? column : TEXT]
  if (kind === 'timestamp' && typeof value === 'string') return value
  if (kind === 'counter') {
    if (typeof value === 'bigint') return value
    if (typeof value === 'string' && /^-?\d+$/.test(value)) return BigInt(value)
    if (Number.isSafeInteger(value)) return BigInt(value as number)
    if (typeof value === 'number' && Number.isInteger(value)) {
      throw new UnsupportedError(
        `the driver rounded the version of "${table}" to a number; remove the type parser for bigint (int8) from it`,
      )
    }
  }
  throw new ConfigError('version', [
    `"${column}" of "${table}" holds no ${kind} (${value === null ? 'null' : typeof value})`,
  ])
}

function checkExpected(expected: Version, kind: 'counter' | 'timestamp'): void {
  const wanted = kind === 'counter' ? 'bigint' : 'string'
  const got = typeof expected
  if (got === wanted) return
  throw new ConfigError('updateVersioned', [
    `expected must be a ${wanted} for a ${kind}, as readVersioned gives it, got ${got}`,
  ])
}

/** @throws ConfigError for what names no row */
export function checkRow(subject: string, table: string, key: Key): void {
  const named = isObject('key', key)
  checkArguments(
    subject,
    isName('table', table, 1_000),
    named === true ? Object.keys(key).length > 0 || 'key is empty' : named,
  )
}

/** The columns of the key that the update itself changed: that is where the row is now. */
function changedKey(key: Key, changes: Changes): Changes {
  return Object.fromEntries(Object.entries(changes).filter(([column]) => column in key))
}

function severalRows(table: string, count: number): ConfigError {
  return new ConfigError('version', [`the key fits ${count} rows of "${table}"; it must name one`])
}

/** Later than `previous` in any case, though the clock may stand still or jump back. Unreadable text: the clock alone. */
export function nextInstant(previous: string, nowMs: number): string {
  const iso = previous
    .replace(' ', 'T')
    .replace(/([+-]\d\d)$/, '$1:00')
    .replace(/(T[\d:.]+)$/, '$1Z')
  const previousMs = Date.parse(iso)
  return new Date(Number.isNaN(previousMs) ? nowMs : Math.max(nowMs, previousMs + 1)).toISOString()
}

/** `orders` or `shop.orders`. */
function nameOf(table: string): Sql {
  return sql.ident(...table.split('.'))
}
