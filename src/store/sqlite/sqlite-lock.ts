import { UnsupportedError } from '../../core/errors.ts'
import type { LockRequest, Statement } from '../engine.ts'
import { compileSql, sql } from '../sql.ts'
import { sqliteDialect } from './sqlite-dialect.ts'

/**
 * The read that stands for a row lock, in a transaction that already holds the file for writing.
 * @throws UnsupportedError for what only row locks can do
 */
export function toLockStatement(request: LockRequest): Statement {
  const { from, where, orderBy, limit, strength, wait } = request
  if (strength !== 'update') {
    throw new UnsupportedError(
      `SQLite has no row locks of strength "${strength}"; it locks the whole file for update`,
    )
  }
  if (wait === 'skip-locked') {
    throw new UnsupportedError(
      'SQLite locks the whole file, so it has no rows to skip; use PostgreSQL for skip-locked',
    )
  }
  const order = orderBy ? sql` order by ${orderBy}` : sql.raw('')
  const bound = limit === undefined ? sql.raw('') : sql` limit ${limit}`
  return {
    ...compileSql(sql`select * from ${from} where ${where}${order}${bound}`, sqliteDialect),
    prepare: true,
  }
}
