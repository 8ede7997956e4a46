import type { TableSet } from './migrations.ts'

/** The store's own table: witnesses of transactions whose COMMIT may go unanswered. */
export const storeTables: TableSet = {
  capability: 'store',
  migrations: [
    {
      revision: 1,
      readableFrom: 1,
      statements: {
        postgres: ({ table, index }) => [
          `create table ${table('witness')} (id text primary key, decision text not null, decided_at_ms bigint not null)`,
          `create index ${index('witness_decided')} on ${table('witness')} (decided_at_ms)`,
        ],
        sqlite: ({ table, index }) => [
          `create table ${table('witness')} (id text primary key, decision text not null, decided_at_ms integer not null) without rowid`,
          `create index ${index('witness_decided')} on ${table('witness')} (decided_at_ms)`,
        ],
      },
    },
  ],
}
