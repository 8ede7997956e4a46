import { createTables } from '../../store/create-tables.ts'
import type { TableSet } from '../../store/migrations.ts'

/**
 * One row per lock name. `queue` holds the entries in the order of arrival, each `{h: holder, m: mode, l: limit, t: token,
 * u: until, a: arrived}`; times are on the store's clock, tokens are text so that JSON keeps all digits. `token` is the last one that
 * was given out: it must not go back, so the row stays.
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
  ],
}

const JSON_TEXT = { postgres: 'jsonb', sqlite: 'text' }
