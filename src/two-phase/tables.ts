import { createTables } from '../store/create-tables.ts'
import type { TableSet } from '../store/migrations.ts'

/**
 * The coordinator's log. `two_phase_log` has the identity of each log of this database, which is part of the name of
 * every prepared transaction. `two_phase` has the decisions, for whose primary key commit and abort compete. A decision
 * is unfinished until every participant is known to have carried it out.
 */
export const twoPhaseTables: TableSet = {
  capability: 'two-phase',
  migrations: [
    {
      revision: 1,
      readableFrom: 1,
      statements: createTables(({ table }, { bigint, clustered }) => [
        `create table ${table('two_phase_log')} (name text primary key, id text not null)${clustered}`,
        `create table ${table('two_phase')} (id text primary key, log text not null, decision text not null, participants text not null, decided_by text not null, decided_at_ms ${bigint} not null, finished_at_ms ${bigint})${clustered}`,
      ]),
    },
  ],
}
