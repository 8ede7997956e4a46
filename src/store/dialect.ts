import type { Sql, SqlValue } from './sql.ts'

export type DialectName = 'postgres' | 'sqlite' | 'mysql'

/** The least isolation a transaction accepts; a store may give more. */
export type Isolation = 'read-committed' | 'repeatable-read' | 'serializable'

/** The strengths of PostgreSQL's row locks, strongest first. */
export type LockStrength = 'update' | 'no-key-update' | 'share' | 'key-share'

export type LockWait = 'block' | 'nowait' | 'skip-locked' | { readonly waitMs: number }

/** A column of a multi-row insert, with the type its values travel as. */
export interface InsertColumn {
  readonly name: string
  readonly type: 'text' | 'integer' | 'bigint'
}

/**
 * How one database differs, as data and SQL text. Capabilities write their statements with it and never ask for the
 * database's name, except in their migrations.
 */
export interface Dialect {
  readonly name: DialectName
  quoteName(name: string): string
  /** The placeholder of the parameter at `position`, counted from 1. */
  placeholder(position: number): string

  /** What each isolation level really gives here, in words (docs/reference/isolation.md says more). */
  readonly isolation: Readonly<Record<Isolation, string>>
  /** Lock strengths that exist here. Asking for another is an UnsupportedError. */
  readonly lockStrengths: readonly LockStrength[]
  readonly skipLocked: boolean
  /** False where a CREATE TABLE commits the transaction it stands in (MariaDB): a migration is then not atomic. */
  readonly transactionalDdl: boolean
  /** True where one transaction writes at a time, so that a row needs no lock of its own once a transaction writes. */
  readonly singleWriter: boolean

  /** True where a subquery in FROM may use the tables before it, so that each of several partitions is read by index. */
  readonly lateral: boolean
  /** True where WITH may hold an INSERT, so that two writes which depend on each other are one statement. */
  readonly writableCte: boolean

  /** The store's clock, in whole milliseconds since 1970, read when the statement runs (not when the transaction began). */
  readonly nowMs: Sql

  /** The name of the function that gives the greatest of its arguments, where none is null. */
  readonly greatest: Sql

  /**
   * One statement that inserts all rows, in their order. `onConflict: 'ignore'` leaves existing rows alone. `returning`:
   * expressions over each row, which then are the statement's rows.
   */
  insertRows(
    table: Sql,
    columns: readonly InsertColumn[],
    rows: readonly (readonly SqlValue[])[],
    options?: { onConflict?: 'ignore'; returning?: Sql },
  ): Sql

  /** A table for a FROM clause, made of parameters: `rows` under the name `alias` with `columns`. The text never changes. */
  rowsAs(alias: string, columns: readonly InsertColumn[], rows: readonly (readonly SqlValue[])[]): Sql

  /**
   * One statement that inserts what `select` gives; `select` must have a WHERE. `returning` names columns of the rows
   * that were inserted, which then are the statement's rows.
   */
  insertSelect(
    table: Sql,
    columns: readonly string[],
    select: Sql,
    options?: { onConflict?: 'ignore'; returning?: readonly string[] },
  ): Sql

  /**
   * One statement that deletes the rows of `table` that match `where` and have one of these values of `key`, which
   * with `where` names a unique index. Always by that index, however few rows the planner believes the table has.
   */
  deleteRows(
    table: Sql,
    where: Sql,
    key: readonly InsertColumn[],
    rows: readonly (readonly SqlValue[])[],
  ): Sql

  /** `column in (values)` whose text does not change with the number of values, where the database allows it. */
  isOneOf(column: Sql, type: InsertColumn['type'], values: readonly SqlValue[]): Sql

  /**
   * An expression that is true where the statement it stands in sees all that was committed before that began, and not
   * an older snapshot of its transaction. Undefined where a statement cannot both insert and look.
   */
  readonly seesLatest: Sql | undefined

  /** The suffix that locks the selected rows to the end of the transaction; empty where the whole store is locked. */
  forUpdate(options?: { skipLocked?: boolean }): Sql
  /**
   * Locks the selected row against removal and key change but not against ordinary updates of it; used to hold an
   * epoch in place. Empty where the whole store is locked.
   */
  readonly forKeyShare: Sql

  /**
   * Waits for each of `ids`, in ascending order, and holds them until the end of the transaction. Undefined where one
   * transaction writes at a time, which needs no such lock.
   */
  readonly lockIds: ((ids: readonly bigint[]) => Sql) | undefined

  /**
   * An expression that makes the COMMIT of the transaction it is evaluated in durable, whatever weaker setting the
   * connection has; a setting that is stronger stays. Its value means nothing. Null where the store as a whole decides.
   */
  readonly insistOnDurability: Sql
  /**
   * A statement that gives a row when the store was opened so that a power failure may undo commits, which no
   * transaction can then insist against. Undefined where a transaction can.
   */
  readonly isForgetful: Sql | undefined

  /** How one process wakes another. Undefined where the database cannot. */
  readonly notify: Notify | undefined
}

/** Names of channels longer than 63 bytes are refused. */
export interface Notify {
  send(channel: string, payload: string): Sql
  /** A text for a connection that stays open and that nothing else uses. */
  listen(channel: string): string
}
