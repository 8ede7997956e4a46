import { type Sql, type SqlValue, sql } from './sql.ts'

/** `a = ? and b is null` of a record of column values. */
export function equalTo(columns: Readonly<Record<string, SqlValue>>): Sql {
  return sql.join(
    Object.entries(columns).map(([column, value]) =>
      value === null ? sql`${sql.ident(column)} is null` : sql`${sql.ident(column)} = ${value}`,
    ),
    ' and ',
  )
}
