import { createTables } from '../store/create-tables.ts'
import type { TableSet } from '../store/migrations.ts'

/**
 * `until_ms` is on the store's clock; 0 means released. A row stays when its lease ends, since its epoch must not go
 * back. No index holds `until_ms`, so that on PostgreSQL a renewal is a heap-only update.
 */
export const leaseTables: TableSet = {
  capability: 'lease',
  migrations: [
    {
      revision: 1,
      readableFrom: 1,
      statements: createTables(({ table }, { bigint, updated }) => [
        `create table ${table('lease')} (scope text not null, name text not null, owner text not null, epoch ${bigint} not null, until_ms ${bigint} not null, primary key (scope, name))${updated}`,
      ]),
    },
  ],
}
