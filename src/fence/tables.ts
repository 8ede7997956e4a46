import { createTables } from '../store/create-tables.ts'
import type { TableSet } from '../store/migrations.ts'

/** One row per fenced resource: the highest token that it has accepted, and from whom. */
export const fenceTables: TableSet = {
  capability: 'fence',
  migrations: [
    {
      revision: 1,
      readableFrom: 1,
      statements: createTables(({ table }, { bigint, updated }) => [
        `create table ${table('fence')} (resource text primary key, token ${bigint} not null, holder text not null)${updated}`,
      ]),
    },
  ],
}
