import { checkOptions, isCount, isDuration, optionsOf, show } from '../core/options.ts'
import type { LockStrength } from './dialect.ts'
import type { LockRequest } from './engine.ts'
import { Sql, sql } from './sql.ts'
import type { LockRowsOptions, Where } from './transaction.ts'
import { equalTo } from './where.ts'

const STRENGTHS: readonly LockStrength[] = ['update', 'no-key-update', 'share', 'key-share']

/** What `lockRows` asks of an engine. @throws ConfigError */
export function lockRequest(table: string, where: Where, options: LockRowsOptions): LockRequest {
  const { strength = 'update', wait = 'block', orderBy, limit } = optionsOf('lockRows', options)
  checkOptions(
    'lockRows',
    options,
    ['strength', 'wait', 'orderBy', 'limit'],
    [
      (typeof table === 'string' && table !== '') || 'the table must be named by a non-empty string',
      orderBy === undefined ||
        (Array.isArray(orderBy) && orderBy.every((column) => typeof column === 'string')) ||
        'orderBy must be an array of names of columns',
      limit === undefined || isCount('limit', limit, 1, Number.MAX_SAFE_INTEGER),
      // The strength becomes part of the statement's text, so nothing but these words may pass.
      STRENGTHS.includes(strength) ||
        `strength must be one of ${STRENGTHS.join(', ')}, got ${show(strength)}`,
      checkWait(wait),
      where instanceof Sql ||
        Object.keys(where ?? {}).length > 0 ||
        'where is empty; to lock every row, pass sql`true`',
      where instanceof Sql || undefinedColumns(where ?? {}),
    ],
  )
  return {
    table,
    from: sql.ident(...table.split('.')),
    where: where instanceof Sql ? where : equalTo(where),
    orderBy: orderBy && sql.join(orderBy.map((column) => sql.ident(column))),
    limit,
    strength,
    wait,
  }
}

function checkWait(wait: LockRequest['wait']): true | string {
  if (wait === 'block' || wait === 'nowait' || wait === 'skip-locked') return true
  if (typeof wait === 'object' && wait !== null && Object.keys(wait).join() === 'waitMs')
    return isDuration('waitMs', wait.waitMs)
  return 'wait must be block, nowait, skip-locked or { waitMs }'
}

function undefinedColumns(where: Readonly<Record<string, unknown>>): true | string {
  const columns = Object.keys(where).filter((column) => where[column] === undefined)
  return columns.length === 0 || `where has no value for ${columns.join(', ')}; write null for "is null"`
}
