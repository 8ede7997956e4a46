import { createTables } from '../store/create-tables.ts'
import type { TableSet } from '../store/migrations.ts'

/**
 * `replica_record`: one row per record, those of deleted ones (`dead` 1) until they are pruned. `vector` is the context,
 * `siblings` what is alive in it; `bucket` and `digest` are hashes of record and vector, which pulls compare;
 * `changed_at_ms` is on the store's clock.
 * `replica_member`: `count_floor` is the highest count of that member in a record that was pruned here; `heard_at_ms` the
 * last contact; `pulled_at_ms` when our last finished pull from it began; `has_ours_at_ms` when its last finished pull
 * from us read our sums. All on this store's clock.
 * `replica_conflict`: `id` is a hash of the dots that met, so that one meeting is one row.
 * `replica_ack`: the members that have merged a change that asked for it.
 */
export const replicaTables: TableSet = {
  capability: 'replica',
  migrations: [
    {
      revision: 1,
      readableFrom: 1,
      statements: createTables(({ table, index }, { bigint, clustered }) => [
        `create table ${table('replica_record')} (
  collection text not null,
  key text not null,
  vector text not null,
  siblings text not null,
  dead integer not null,
  bucket integer not null,
  digest ${bigint} not null,
  changed_at_ms ${bigint} not null,
  primary key (collection, key)
)`,
        `create index ${index('replica_record_bucket')} on ${table('replica_record')} (bucket, collection, key, digest)`,
        `create index ${index('replica_record_dead')} on ${table('replica_record')} (changed_at_ms) where dead = 1`,
        `create table ${table('replica_member')} (
  replica text primary key,
  is_self integer not null default 0,
  count_floor ${bigint} not null default 0,
  heard_at_ms ${bigint},
  pulled_at_ms ${bigint},
  has_ours_at_ms ${bigint}
)${clustered}`,
        `create unique index ${index('replica_member_self')} on ${table('replica_member')} (is_self) where is_self = 1`,
        `create table ${table('replica_conflict')} (
  id text primary key,
  collection text not null,
  key text not null,
  policy text not null,
  sides text not null,
  decision text not null,
  at_ms ${bigint} not null
)${clustered}`,
        `create index ${index('replica_conflict_at')} on ${table('replica_conflict')} (at_ms)`,
        `create table ${table('replica_ack')} (change_id text not null, replica text not null, at_ms ${bigint} not null, primary key (change_id, replica))${clustered}`,
        `create index ${index('replica_ack_at')} on ${table('replica_ack')} (at_ms)`,
      ]),
    },
  ],
}
