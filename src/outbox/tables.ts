import { createTables } from '../store/create-tables.ts'
import type { TableSet } from '../store/migrations.ts'

/**
 * `outbox` holds what is ready, and a row leaves when the broker has stored the message; `outbox_later` holds what is
 * delayed or backed off.
 *
 * One index per table: each more would be paid by every publishing transaction. The primary key of `outbox` serves the
 * insert (a leaf per partition, so that publishers do not meet on one page), the read in order, and the delete.
 * SQLite has one writer and usually one relay, so there the row id alone serves all three; AUTOINCREMENT keeps a number
 * from coming back, since a relay that lost its lease may still delete by it.
 */
export const outboxTables: TableSet = {
  capability: 'outbox',
  migrations: [
    {
      revision: 1,
      readableFrom: 1,
      statements: createTables(({ table, index }, { dialect, bigint }) => [
        OUTBOX[dialect](table('outbox')),
        `create table ${table('outbox_later')} (
  id ${COUNTED[dialect]},
  name text not null,
  partition integer not null,
  due_at_ms ${bigint} not null,
  attempts integer not null default 0,
  published_at_ms ${bigint} not null default ${NOW[dialect]},
${MESSAGE}
)${QUEUE_SETTINGS[dialect]}`,
        `create index ${index('outbox_later_due')} on ${table('outbox_later')} (name, due_at_ms)`,
      ]),
    },
  ],
}

/**
 * What was given up, by the outbox and by the inbox (`source` says whose), so that one place shows all. A set of its
 * own, since a database that only consumes has no outbox.
 */
export const deadLetterTables: TableSet = {
  capability: 'dead-letter',
  migrations: [
    {
      revision: 1,
      readableFrom: 1,
      statements: createTables(({ table, index }, { dialect, bigint }) => [
        `create table ${table('dead_letter')} (
  id text primary key,
  source text not null,
  partition integer,
  attempts integer not null,
  retry_requested integer not null default 0,
  failed_at_ms ${bigint} not null default ${NOW[dialect]},
  published_at_ms ${bigint},
${MESSAGE},
  reason text not null,
  error_code text,
  stack text
)`,
        `create index ${index('dead_letter_source')} on ${table('dead_letter')} (source, failed_at_ms)`,
      ]),
    },
  ],
}

const NOW = {
  postgres: '(extract(epoch from clock_timestamp()) * 1000)::bigint',
  sqlite: "(cast((julianday('now') - 2440587.5) * 86400000.0 as integer))",
}

/** A key that counts up. */
const COUNTED = {
  postgres: 'bigint generated always as identity primary key',
  sqlite: 'integer primary key autoincrement',
}

/** What a message consists of, besides when it was published. */
const MESSAGE = `  message_id text not null,
  topic text not null,
  key text,
  payload text not null,
  headers text`

/**
 * Every row is inserted once and deleted once, so the table is small and its dead rows are many: clean up after a
 * fixed number of them rather than after a share of a size that swings.
 */
const QUEUE_SETTINGS = {
  postgres: ` with (${[
    'autovacuum_vacuum_scale_factor = 0',
    'autovacuum_vacuum_threshold = 2000',
    'autovacuum_vacuum_cost_delay = 0',
    'autovacuum_analyze_scale_factor = 0',
    'autovacuum_analyze_threshold = 20000',
  ].join(', ')})`,
  sqlite: '',
}

/** The two differ in their key; see `outboxTables`. */
const OUTBOX = {
  postgres: (table: string) => `create table ${table} (
  name text not null,
  partition integer not null,
  sequence bigint generated always as identity,
  attempts integer not null default 0,
  published_at_ms bigint not null default ${NOW.postgres},
  retry_at_ms bigint,
${MESSAGE},
  primary key (name, partition, sequence)
)${QUEUE_SETTINGS.postgres}`,
  sqlite: (table: string) => `create table ${table} (
  sequence integer primary key autoincrement,
  name text not null,
  partition integer not null,
  attempts integer not null default 0,
  published_at_ms integer not null default ${NOW.sqlite},
  retry_at_ms integer,
${MESSAGE}
)`,
}
