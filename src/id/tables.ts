import { createTables } from '../store/create-tables.ts'
import type { TableSet } from '../store/migrations.ts'

/** One row per counter and instance: `next_sequence` is the first number not yet reserved. It never goes back. */
export const idTables: TableSet = {
  capability: 'id',
  migrations: [
    {
      revision: 1,
      readableFrom: 1,
      statements: createTables(({ table }, { bigint, updated }) => [
        `create table ${table('id_counter')} (name text not null, instance integer not null, next_sequence ${bigint} not null, primary key (name, instance))${updated}`,
      ]),
    },
  ],
}
