import { type Check, checkArguments, hasMethods, isCount, isList, isName, show } from '../core/options.ts'
import { isStore, isTransaction } from './arguments.ts'
import type { DialectName } from './dialect.ts'
import { SchemaRevisionError } from './errors.ts'
import { type Sql, sql } from './sql.ts'
import type { Store } from './store.ts'
import type { Transaction } from './transaction.ts'

/**
 * The tables of one capability. Revisions count from 1 and are never edited once released.
 *
 * `readableFrom` of a revision is the oldest code revision that can still work with the tables after it, so that old
 * and new versions run side by side during a deploy. A migration that older code cannot run beside sets it to itself.
 */
export interface TableSet {
  readonly capability: string
  readonly migrations: readonly Migration[]
}

export interface Migration {
  readonly revision: number
  readonly readableFrom: number
  /** The statements for each database. `table` and `index` give names with the configured schema and prefix. */
  readonly statements: Readonly<
    Record<Exclude<DialectName, 'mysql'>, (names: MigrationNames) => readonly string[]>
  >
}

export interface MigrationNames {
  /** Quoted and qualified: `"audit"."holdfast_outbox"`. */
  table(name: string): string
  /** Quoted, never qualified: PostgreSQL puts an index into the schema of its table. */
  index(name: string): string
}

/** One step that `migrate` took or would take. */
export interface MigrationStep {
  readonly capability: string
  readonly revision: number
  readonly statements: readonly string[]
}

/**
 * Brings the tables of each set to the newest revision, all in one transaction.
 *
 * Guarantee: safe to run from many processes at once; one does the work and the others find it done. Needs the right
 * to create tables; nothing else in Holdfast does. Tables newer than this code are left alone when it can read them.
 * @throws SchemaRevisionError when the tables are newer than this code can read
 */
export async function migrate(store: Store, sets: readonly TableSet[]): Promise<MigrationStep[]> {
  checkArguments('migrate', isStore(store), areTableSets(sets))
  return store.transaction(
    async (tx) => {
      await lockSchema(tx)
      for (const statement of revisionTable(store)) await tx.execute(statement)
      const steps: MigrationStep[] = []
      for (const set of sets) {
        const { found, readableFrom } = await readRevision(tx, set.capability)
        assertReadable(set, found, readableFrom)
        for (const step of planMigration(store, set, found)) {
          for (const statement of step.statements) await tx.execute(statement)
          await writeRevision(tx, set, step.revision)
          steps.push(step)
        }
      }
      return steps
    },
    // A snapshot taken before the lock was granted would not show what its former holder did.
    { isolation: 'read-committed' },
  )
}

function areTableSets(sets: unknown): Check {
  if (!Array.isArray(sets)) return isList('the sets of tables', sets)
  return sets.map((set) => isTableSet('each set of tables', set)).find((check) => check !== true) ?? true
}

function isTableSet(name: string, set: unknown): Check {
  const { capability, migrations } = (set ?? {}) as Partial<TableSet>
  return (
    (typeof capability === 'string' && Array.isArray(migrations) && migrations.length > 0) ||
    `${name} must be one that holdfast/tables exports, got ${show(set)}`
  )
}

/** The statements that bring `set` from revision `found` to the newest. Pure. */
export function planMigration(
  store: Pick<Store, 'dialect' | 'table' | 'tableName'>,
  set: TableSet,
  found: number,
): MigrationStep[] {
  checkArguments(
    'planMigration',
    hasMethods('store', store, 'a store', 'table', 'tableName'),
    isTableSet('set', set),
    isCount('found', found, 0, 1_000_000),
  )
  const names: MigrationNames = {
    table: (name) => printName(store, store.table(name)),
    index: (name) => store.dialect.quoteName(store.tableName(name)),
  }
  const { name } = store.dialect
  if (name === 'mysql') throw new Error('no migrations for MariaDB yet')
  return set.migrations
    .filter((m) => m.revision > found)
    .map((m) => ({ capability: set.capability, revision: m.revision, statements: m.statements[name](names) }))
}

/** Everything that `migrate` would run on an empty database, for `holdfast migrate --print`. */
export function printMigrations(store: Store, sets: readonly TableSet[]): string[] {
  checkArguments('printMigrations', isStore(store), areTableSets(sets))
  return [
    ...revisionTable(store),
    ...sets.flatMap((set) => [
      ...planMigration(store, set, 0).flatMap((step) => step.statements),
      `insert into ${printName(store, store.table('revision'))} (capability, revision, readable_from) values ('${set.capability}', ${newest(set).revision}, ${newest(set).readableFrom})`,
    ]),
  ]
}

/**
 * Checks that this code can work with the tables of `set`.
 * @throws SchemaRevisionError with the remedy: missing, too old, or newer than this code can read
 */
export async function requireRevision(tx: Transaction, set: TableSet): Promise<void> {
  checkArguments('requireRevision', isTransaction(tx), isTableSet('set', set))
  const { found, readableFrom } = await readRevision(tx, set.capability)
  const needed = newest(set).revision
  if (found < needed) throw new SchemaRevisionError(set.capability, { found, needed })
  assertReadable(set, found, readableFrom)
}

/** The revision of one capability's tables; 0 when they are missing. */
export async function readRevision(
  tx: Transaction,
  capability: string,
): Promise<{ found: number; readableFrom: number }> {
  checkArguments('readRevision', isTransaction(tx), isName('capability', capability, 100))
  const { store } = tx
  const [row] = await tx
    .query<{ revision: number; readable_from: number }>(
      sql`select revision, readable_from from ${store.table('revision')} where capability = ${capability}`,
    )
    .catch((error: unknown) => {
      if ((error as { code?: string }).code === 'SCHEMA_REVISION') {
        throw new SchemaRevisionError(capability, { found: 0, needed: 1 }, { cause: error })
      }
      throw error
    })
  return { found: Number(row?.revision ?? 0), readableFrom: Number(row?.readable_from ?? 0) }
}

function assertReadable(set: TableSet, found: number, readableFrom: number): void {
  const needed = newest(set).revision
  if (found > needed && readableFrom > needed)
    throw new SchemaRevisionError(set.capability, { found, needed })
}

function newest(set: TableSet): Migration {
  return set.migrations.at(-1) as Migration
}

function revisionTable(store: Store): string[] {
  return [
    `create table if not exists ${printName(store, store.table('revision'))} (capability varchar(100) primary key, revision integer not null, readable_from integer not null)`,
  ]
}

async function writeRevision(tx: Transaction, set: TableSet, revision: number): Promise<void> {
  const table = tx.store.table('revision')
  const readableFrom = set.migrations.find((m) => m.revision === revision)?.readableFrom ?? revision
  const changed = await tx.execute(
    sql`update ${table} set revision = ${revision}, readable_from = ${readableFrom} where capability = ${set.capability}`,
  )
  if (changed === 0) {
    await tx.execute(
      sql`insert into ${table} (capability, revision, readable_from) values (${set.capability}, ${revision}, ${readableFrom})`,
    )
  }
}

/**
 * One migration at a time. PostgreSQL: CREATE TABLE IF NOT EXISTS of two sessions can collide on the catalogue's unique
 * index, so they queue behind an advisory lock that ends with the transaction. SQLite has one writer anyway.
 */
async function lockSchema(tx: Transaction): Promise<void> {
  if (tx.store.dialect.name === 'postgres') await tx.query('select pg_advisory_xact_lock(7165063410257821)')
}

function printName(store: Pick<Store, 'dialect'>, name: Sql): string {
  return name.parts
    .map((p) => (p.kind === 'name' ? p.path.map((n) => store.dialect.quoteName(n)).join('.') : ''))
    .join('')
}
