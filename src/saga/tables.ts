import { createTables } from '../store/create-tables.ts'
import type { TableSet } from '../store/migrations.ts'

/**
 * `saga`: one row per saga. `wake_at_ms` is when somebody has to look at it: null once it has ended or is stuck,
 * `IN_HAND` while a runner has it in memory, and else a time on the store's clock, less a share for its priority.
 * `held` is 1 from the moment a runner takes it until it lays it down in good order: what is still held when a
 * partition changes hands may have had a step under way.
 * `saga_entry`: the journal, append only, in order of `seq` within a saga. `saga_signal`: what was sent to a saga.
 * `saga_flow`: one row per limit, locked while admissions under it are counted.
 */
export const sagaTables: TableSet = {
  capability: 'saga',
  migrations: [
    {
      revision: 1,
      readableFrom: 1,
      statements: createTables(({ table, index }, { dialect, bigint, clustered }) => [
        `create table ${table('saga')} (
  id text primary key,
  name text not null,
  partition text not null,
  state text not null,
  wake_at_ms ${bigint},
  held integer not null,
  cancel integer not null default 0,
  priority integer not null default 0,
  started_at_ms ${bigint} not null,
  deadline_at_ms ${bigint},
  ended_at_ms ${bigint},
  parent_id text,
  flow_key text,
  admitted integer not null default 0,
  input_hash text,
  input text,
  output text,
  reason text
)`,
        `create index ${index('saga_wake')} on ${table('saga')} (partition, wake_at_ms) where wake_at_ms is not null`,
        `create index ${index('saga_flow_key')} on ${table('saga')} (name, flow_key) where flow_key is not null and ended_at_ms is null`,
        `create index ${index('saga_ended')} on ${table('saga')} (ended_at_ms) where ended_at_ms is not null`,
        `create index ${index('saga_stuck')} on ${table('saga')} (state, started_at_ms) where state = 'stuck'`,
        `create table ${table('saga_entry')} (
  saga_id text not null,
  seq integer not null,
  kind text not null,
  step text not null,
  pos integer not null,
  hash text,
  data text,
  at_ms ${bigint} not null,
  primary key (saga_id, seq)
)${clustered}`,
        `create table ${table('saga_signal')} (
  number ${COUNTED[dialect]},
  saga_id text not null,
  name text not null,
  id text not null,
  payload text,
  sent_at_ms ${bigint} not null,
  unique (saga_id, name, id)
)`,
        `create table ${table('saga_flow')} (key text primary key, window_at_ms ${bigint} not null, used integer not null)${clustered}`,
      ]),
    },
  ],
}

/** A key that counts up. */
const COUNTED = {
  postgres: 'bigint generated always as identity primary key',
  sqlite: 'integer primary key autoincrement',
}
