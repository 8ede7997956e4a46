import type { TableSet } from '../store/migrations.ts'

/** One row per fenced resource: the highest token that it has accepted, and from whom. */
export const fenceTables: TableSet = {
  capability: 'fence',
  migrations: [
    {
      revision: 1,
      readableFrom: 1,
      statements: {
        postgres: ({ table }) => [
          `create table ${table('fence')} (resource text primary key, token bigint not null, holder text not null) with (fillfactor = 50)`,
        ],
        sqlite: ({ table }) => [
          `create table ${table('fence')} (resource text primary key, token integer not null, holder text not null) without rowid`,
        ],
      },
    },
  ],
}
