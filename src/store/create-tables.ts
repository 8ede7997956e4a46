import type { Migration, MigrationNames } from './migrations.ts'

/** What a `create table` says in each database's own words. */
export interface TableWords {
  readonly dialect: 'postgres' | 'sqlite'
  /** The type of a 64-bit integer. */
  readonly bigint: string
  /** Behind a table that is read by its key, in its order. */
  readonly clustered: string
  /** Behind a table whose rows are updated over and over: on PostgreSQL their pages keep room for heap-only updates. */
  readonly updated: string
}

const WORDS: Readonly<Record<TableWords['dialect'], TableWords>> = {
  postgres: { dialect: 'postgres', bigint: 'bigint', clustered: '', updated: ' with (fillfactor = 50)' },
  sqlite: {
    dialect: 'sqlite',
    bigint: 'integer',
    clustered: ' without rowid',
    updated: ' without rowid',
  },
}

/** The statements of a migration that creates the same tables in every database. */
export function createTables(
  create: (names: MigrationNames, words: TableWords) => readonly string[],
): Migration['statements'] {
  return {
    postgres: (names) => create(names, WORDS.postgres),
    sqlite: (names) => create(names, WORDS.sqlite),
  }
}
