import type { PgPool } from '../open-store.ts'

/** What `doctor` reads from PostgreSQL; times in milliseconds. */
export interface PostgresFacts {
  readonly versionNumber: number
  readonly settings: Readonly<Record<string, string>>
  readonly inRecovery: boolean
  readonly connections: number
  /** Of other sessions that this role may see; undefined when there is none. */
  readonly oldestTransactionMs: number | undefined
  readonly oldestPreparedMs: number | undefined
  /** Of those that Holdfast's coordinators have prepared. */
  readonly oldestOwnPreparedMs: number | undefined
  readonly tables: readonly TableFacts[]
  readonly maySeeOthers: boolean
  readonly mayCreate: boolean
  readonly superuser: boolean
}

export interface TableFacts {
  readonly name: string
  readonly unlogged: boolean
  readonly autovacuumOff: boolean
  readonly liveRows: number
  readonly deadRows: number
  readonly missingRights: readonly string[]
}

const SETTINGS = [
  'autovacuum',
  'default_transaction_isolation',
  'default_transaction_read_only',
  'fsync',
  'full_page_writes',
  'idle_in_transaction_session_timeout',
  'idle_session_timeout',
  'lock_timeout',
  'max_connections',
  'reserved_connections',
  'server_encoding',
  'statement_timeout',
  'superuser_reserved_connections',
  'synchronous_commit',
  'synchronous_standby_names',
  'transaction_timeout',
]

export async function readPostgresFacts(
  pool: PgPool,
  names: { readonly prefix: string; readonly schema: string | undefined },
): Promise<PostgresFacts> {
  const client = await pool.connect()
  try {
    const { rows: settings } = await client.query(
      'select name, setting from pg_settings where name = any($1)',
      [SETTINGS],
    )
    // pg_settings gives times in milliseconds whatever unit they were set in.
    const { rows: state } = await client.query(
      `
      select current_setting('server_version_num')::integer as version_number,
             pg_is_in_recovery() as in_recovery,
             (select count(*)::integer from pg_stat_activity where backend_type = 'client backend') as connections,
             (select max(extract(epoch from clock_timestamp() - xact_start) * 1000)::float8
                from pg_stat_activity
               where backend_type = 'client backend' and pid <> pg_backend_pid()) as oldest_transaction_ms,
             (select max(extract(epoch from clock_timestamp() - prepared) * 1000)::float8
                from pg_prepared_xacts where database = current_database()) as oldest_prepared_ms,
             (select max(extract(epoch from clock_timestamp() - prepared) * 1000)::float8
                from pg_prepared_xacts where database = current_database() and starts_with(gid, 'holdfast:')) as oldest_own_prepared_ms,
             pg_has_role(current_user, 'pg_read_all_stats', 'member') as may_see_others,
             (select rolsuper from pg_roles where rolname = current_user) as superuser,
             has_schema_privilege(coalesce((select oid from pg_namespace where nspname = $1),
                                           (select oid from pg_namespace where nspname = current_schema())), 'create') as may_create`,
      [names.schema ?? null],
    )
    const { rows: tables } = await client.query(
      `select c.relname as name,
              c.relpersistence = 'u' as unlogged,
              coalesce('autovacuum_enabled=false' = any(c.reloptions), false) as autovacuum_off,
              coalesce(s.n_live_tup, 0)::float8 as live_rows,
              coalesce(s.n_dead_tup, 0)::float8 as dead_rows,
              array(select r from unnest(array['select', 'insert', 'update', 'delete']) r
                     where not has_table_privilege(c.oid, r)) as missing_rights
         from pg_class c
         join pg_namespace n on n.oid = c.relnamespace
         left join pg_stat_all_tables s on s.relid = c.oid
        where c.relkind in ('r', 'p')
          and starts_with(c.relname, $1)
          and case when $2::text is null then n.nspname = any(current_schemas(false)) else n.nspname = $2::text end
        order by c.relname`,
      [names.prefix, names.schema ?? null],
    )
    return toFacts(settings as SettingRow[], state[0] as StateRow, tables as TableRow[])
  } finally {
    client.release()
  }
}

interface SettingRow {
  readonly name: string
  readonly setting: string
}

interface StateRow {
  readonly version_number: number
  readonly in_recovery: boolean
  readonly connections: number
  readonly oldest_transaction_ms: number | null
  readonly oldest_prepared_ms: number | null
  readonly oldest_own_prepared_ms: number | null
  readonly may_see_others: boolean
  readonly superuser: boolean | null
  readonly may_create: boolean | null
}

interface TableRow {
  readonly name: string
  readonly unlogged: boolean
  readonly autovacuum_off: boolean
  readonly live_rows: number
  readonly dead_rows: number
  readonly missing_rights: string[]
}

function toFacts(
  settings: readonly SettingRow[],
  state: StateRow,
  tables: readonly TableRow[],
): PostgresFacts {
  return {
    versionNumber: state.version_number,
    settings: Object.fromEntries(settings.map(({ name, setting }) => [name, setting])),
    inRecovery: state.in_recovery,
    connections: state.connections,
    oldestTransactionMs: state.oldest_transaction_ms ?? undefined,
    oldestPreparedMs: state.oldest_prepared_ms ?? undefined,
    oldestOwnPreparedMs: state.oldest_own_prepared_ms ?? undefined,
    maySeeOthers: state.may_see_others,
    superuser: state.superuser === true,
    mayCreate: state.may_create === true,
    tables: tables.map((t) => ({
      name: t.name,
      unlogged: t.unlogged,
      autovacuumOff: t.autovacuum_off,
      liveRows: t.live_rows,
      deadRows: t.dead_rows,
      missingRights: t.missing_rights,
    })),
  }
}
