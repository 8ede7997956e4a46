import { createTables } from '../store/create-tables.ts'
import type { TableSet } from '../store/migrations.ts'

/**
 * One row per effect. The second index serves only `pruneEffects`; on PostgreSQL it is a BRIN index, since rows arrive
 * in the order of their time and a B-tree would cost each effect a second index entry.
 */
export const effectTables: TableSet = {
  capability: 'effects',
  migrations: [
    {
      revision: 1,
      readableFrom: 1,
      statements: createTables(({ table, index }, { dialect, bigint, clustered }) => [
        `create table ${table('effect')} (scope text not null, id text not null, phase text not null, epoch ${bigint} not null, result text, recorded_at_ms ${bigint} not null, primary key (scope, id, phase))${clustered}`,
        `create index ${index('effect_recorded')} on ${table('effect')} ${BY_TIME[dialect]}`,
      ]),
    },
  ],
}

const BY_TIME = {
  postgres: 'using brin (recorded_at_ms) with (pages_per_range = 32)',
  sqlite: '(scope, recorded_at_ms)',
}
