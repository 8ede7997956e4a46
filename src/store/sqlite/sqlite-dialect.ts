import type { Dialect } from '../dialect.ts'
import { type SqlValue, sql } from '../sql.ts'

const SERIAL = 'serializable: one transaction writes at a time, and each reads one snapshot'

/** SQLite 3.38 and later (the JSON operators), in WAL mode. */
export const sqliteDialect: Dialect = {
  name: 'sqlite',
  quoteName: (name) => `"${name.replaceAll('"', '""')}"`,
  placeholder: () => '?',
  isolation: { 'read-committed': SERIAL, 'repeatable-read': SERIAL, serializable: SERIAL },
  lockStrengths: ['update'],
  skipLocked: false,
  transactionalDdl: true,
  singleWriter: true,
  lateral: false,
  writableCte: false,
  seesLatest: undefined,
  nowMs: sql.raw("cast((julianday('now') - 2440587.5) * 86400000.0 as integer)"),
  greatest: sql.raw('max'),

  insertRows(table, columns, rows, options = {}) {
    const names = sql.names(columns)
    const verb = sql.raw(options.onConflict === 'ignore' ? 'insert or ignore' : 'insert')
    const returning = options.returning ? sql` returning ${options.returning}` : sql.raw('')
    const [only] = rows
    if (rows.length === 1 && only !== undefined) {
      return sql`${verb} into ${table} (${names}) values (${sql.join(columns.map((_, i) => sql`${only[i] ?? null}`))})${returning}`
    }
    // One JSON parameter for all rows: the text stays the same, and no bound on the number of parameters is met.
    const members = sql.join(columns.map((_, i) => sql.raw(`value ->> ${i}`)))
    return sql`${verb} into ${table} (${names}) select ${members} from json_each(${toJson(rows.map((row) => toJson(row.map(member))))})${returning}`
  },

  rowsAs(alias, columns, rows) {
    const members = columns.map((c, i) => sql`${sql.raw(`value ->> ${i}`)} as ${sql.ident(c.name)}`)
    const json = toJson(rows.map((row) => toJson(row.map(member))))
    return sql`(select ${sql.join(members)} from json_each(${json})) as ${sql.ident(alias)}`
  },

  insertSelect(table, columns, select, options = {}) {
    const names = sql.names(columns)
    const conflict = sql.raw(options.onConflict === 'ignore' ? ' on conflict do nothing' : '')
    const returning = options.returning ? sql` returning ${sql.names(options.returning)}` : sql.raw('')
    return sql`insert into ${table} (${names}) ${select}${conflict}${returning}`
  },

  deleteRows(table, where, key, rows) {
    const given = sqliteDialect.rowsAs('given', key, rows)
    const same = sql.join(
      key.map((c) => sql`${sql.ident(c.name)} = given.${sql.ident(c.name)}`),
      ' and ',
    )
    // A scalar subquery per row given, so that it is the table that is looked up.
    return sql`delete from ${table} where rowid in (select (select rowid from ${table} where ${where} and ${same}) from ${given})`
  },

  isOneOf: (column, _type, values) =>
    sql`${column} in (select value from json_each(${toJson(values.map(member))}))`,
  forUpdate: () => sql.raw(''),
  forKeyShare: sql.raw(''),
  lockIds: undefined,
  insistOnDurability: sql.raw('null'),
  isForgetful: sql.raw('select 1 as forgetful from pragma_synchronous where synchronous < 2'),
  notify: undefined,
}

function toJson(members: readonly string[]): string {
  return `[${members.join(',')}]`
}

/** JSON text of one value; a bigint keeps all its digits, which JSON.stringify would refuse and a number would lose. */
function member(value: SqlValue | undefined): string {
  return typeof value === 'bigint' ? value.toString() : JSON.stringify(value ?? null)
}
