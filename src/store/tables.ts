import { createTables } from './create-tables.ts'
import type { TableSet } from './migrations.ts'

/** The store's own table: witnesses of transactions whose COMMIT may go unanswered. */
export const storeTables: TableSet = {
  capability: 'store',
  migrations: [
    {
      revision: 1,
      readableFrom: 1,
      statements: createTables(({ table, index }, { bigint, clustered }) => [
        `create table ${table('witness')} (id text primary key, decision text not null, decided_at_ms ${bigint} not null)${clustered}`,
        `create index ${index('witness_decided')} on ${table('witness')} (decided_at_ms)`,
      ]),
    },
  ],
}
