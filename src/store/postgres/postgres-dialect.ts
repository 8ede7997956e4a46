import type { Dialect, InsertColumn } from '../dialect.ts'
import { Sql, type SqlValue, sql } from '../sql.ts'

/** PostgreSQL 13 and later by the manual; the tests run on 18, and those of the store and the leases have run on 15. */
export const postgresDialect: Dialect = {
  name: 'postgres',
  quoteName: (name) => `"${name.replaceAll('"', '""')}"`,
  placeholder: (position) => `$${position}`,
  isolation: {
    'read-committed':
      'each statement sees what was committed when it began; lost updates and write skew happen',
    'repeatable-read': 'snapshot isolation: a lost update is refused, write skew happens',
    serializable: 'serializable snapshot isolation: every anomaly is refused',
  },
  lockStrengths: ['update', 'no-key-update', 'share', 'key-share'],
  skipLocked: true,
  transactionalDdl: true,
  singleWriter: false,
  lateral: true,
  writableCte: true,
  seesLatest: sql.raw("current_setting('transaction_isolation') = 'read committed'"),
  nowMs: sql.raw('(extract(epoch from clock_timestamp()) * 1000)::bigint'),
  greatest: sql.raw('greatest'),

  insertRows(table, columns, rows, options = {}) {
    const names = sql.names(columns)
    const conflict = sql.raw(options.onConflict === 'ignore' ? ' on conflict do nothing' : '')
    const returning = options.returning ? sql` returning ${options.returning}` : sql.raw('')
    const [only] = rows
    if (rows.length === 1 && only !== undefined) {
      // The casts give the parameters the same types whatever their values, so one prepared text serves all.
      const values = sql.join(columns.map((c, i) => sql`${only[i] ?? null}${sql.raw(`::${c.type}`)}`))
      return sql`insert into ${table} (${names}) values (${values})${conflict}${returning}`
    }
    // One array parameter per column: the text, and so the prepared plan, is the same for any number of rows.
    const arrays = sql.join(
      columns.map((c, i) =>
        arrayOf(
          c.type,
          rows.map((row) => row[i] ?? null),
        ),
      ),
    )
    return sql`insert into ${table} (${names}) select * from unnest(${arrays})${conflict}${returning}`
  },

  rowsAs(alias, columns, rows) {
    const arrays = columns.map((c, i) =>
      arrayOf(
        c.type,
        rows.map((row) => row[i] ?? null),
      ),
    )
    const names = sql.names(columns)
    return sql`unnest(${sql.join(arrays)}) as ${sql.ident(alias)} (${names})`
  },

  insertSelect(table, columns, select, options = {}) {
    const names = sql.names(columns)
    const conflict = sql.raw(options.onConflict === 'ignore' ? ' on conflict do nothing' : '')
    const returning = options.returning ? sql` returning ${sql.names(options.returning)}` : sql.raw('')
    return sql`insert into ${table} (${names}) ${select}${conflict}${returning}`
  },

  deleteRows(table, where, key, rows) {
    // The planner cannot see into the array, so it expects a few rows; told how many there are, it would rather read
    // the whole table, which for a queue is mostly dead rows. LIMIT keeps the lookup from becoming a join.
    const given = postgresDialect.rowsAs('given', key, rows)
    const same = sql.join(
      key.map((c) => sql`${sql.ident(c.name)} = given.${sql.ident(c.name)}`),
      ' and ',
    )
    const places = sql`select found.place from ${given} cross join lateral (select ctid as place from ${table} where ${where} and ${same} limit 1) as found`
    return sql`delete from ${table} where ctid = any(array(${places}))`
  },

  isOneOf: (column, type, values) => sql`${column} = any(${arrayOf(type, values)})`,
  forUpdate: (options = {}) => sql.raw(options.skipLocked ? ' for update skip locked' : ' for update'),
  forKeyShare: new Sql([{ kind: 'text', text: ' for key share' }]),
  // The sort stands in a subquery, since a select list may be computed before the rows are sorted.
  lockIds: (ids) =>
    sql`select pg_advisory_xact_lock(id) from (select id from unnest(${ids}::bigint[]) as ids (id) order by id) as sorted`,
  insistOnDurability: sql.raw(
    "(select case when current_setting('synchronous_commit') in ('off', 'local', 'remote_write') then set_config('synchronous_commit', 'on', true) end)",
  ),
  isForgetful: undefined,
  notify: {
    send: (channel, payload) => sql`select pg_notify(${channel}, ${payload})`,
    listen: (channel) => `listen ${postgresDialect.quoteName(channel)}`,
  },
}

/** Whole numbers need no quoting, so their array is written here at once; the driver would look into each for quotes. */
function arrayOf(type: InsertColumn['type'], values: readonly SqlValue[]): Sql {
  const cast = sql.raw(`::${type}[]`)
  if (type === 'text') return sql`${values}${cast}`
  return sql`${`{${values.map((value) => value ?? 'null').join(',')}}`}${cast}`
}
