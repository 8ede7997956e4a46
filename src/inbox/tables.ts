import { createTables } from '../store/create-tables.ts'
import type { TableSet } from '../store/migrations.ts'

/**
 * `inbox_attempt`: how often handlers were started for messages that were delivered before or failed before. One row
 * per such message, deleted when the message is handled or becomes a dead letter. `inbox_session`: who reads which
 * partition; a row that is left over tells of a crash.
 */
export const inboxTables: TableSet = {
  capability: 'inbox',
  migrations: [
    {
      revision: 1,
      readableFrom: 1,
      statements: createTables(({ table, index }, { bigint, clustered }) => [
        `create table ${table('inbox_attempt')} (scope text not null, id text not null, phase text not null, attempts integer not null, started_at_ms ${bigint} not null, primary key (scope, id, phase))${clustered}`,
        `create index ${index('inbox_attempt_started')} on ${table('inbox_attempt')} (started_at_ms)`,
        `create table ${table('inbox_session')} (scope text not null, reads_partition integer not null, owner text not null, primary key (scope, reads_partition))`,
      ]),
    },
  ],
}
