import { createTables } from '../../store/create-tables.ts'
import type { TableSet } from '../../store/migrations.ts'

/**
 * One row per lock name. Who holds it and who waits for it stands in one of two places, and `until_ms` says in which:
 *
 * - a number: in the columns. The lock has at most one entry, and nobody has joined it since it came: `holder` with `mode` and
 *   `holders_max`, since `changed_ms`, until `until_ms`; the entry's token is the row's. After `until_ms` there is none, and
 *   0 says that it was given back. `entries` is empty.
 * - null: in `entries`, in the order of arrival, each `{h: holder, m: mode, l: limit, t: token, u: until, a: arrived}`. The
 *   other columns mean nothing. The second entry brings the first one here, and an entry stays here until it goes; when the
 *   last has gone, the columns serve again. Rows of revision 1 are of this kind.
 *
 * Most locks are held alone, and then two short updates by key, without any JSON, take and release them.
 *
 * Times are on the store's clock, and `changed_ms` never goes back; tokens in JSON are text, so that it keeps all digits. `token`
 * is the last one that was given out: it must not go back, so the row stays.
 */
export const lockTables: TableSet = {
  capability: 'lock',
  migrations: [
    {
      revision: 1,
      readableFrom: 1,
      statements: createTables(({ table }, { dialect, bigint, updated }) => [
        `create table ${table('lock')} (name text primary key, token ${bigint} not null, queue ${JSON_TEXT[dialect]} not null, changed_ms ${bigint} not null)${updated}`,
      ]),
    },
    {
      // Revision 1 looks into the queue alone and would take a lock that stands in the columns. The new name of the column
      // stops it at the next statement, also where it runs already.
      revision: 2,
      readableFrom: 2,
      statements: createTables(({ table }, { bigint }) => [
        `alter table ${table('lock')} rename column queue to entries`,
        `alter table ${table('lock')} add column until_ms ${bigint}`,
        `alter table ${table('lock')} add column holder text`,
        `alter table ${table('lock')} add column mode text`,
        `alter table ${table('lock')} add column holders_max integer`,
      ]),
    },
  ],
}

const JSON_TEXT = { postgres: 'jsonb', sqlite: 'text' }
