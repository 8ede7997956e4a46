import {
  type MigrationStep,
  migrate,
  planMigration,
  printMigrations,
  SchemaRevisionError,
  type Store,
} from '../../store/index.ts'
import { allTables } from '../../tables/index.ts'
import { usageError } from '../cli-error.ts'
import { type Command, EXIT, flag, type Report } from '../command.ts'
import { STORE_OPTIONS, unconnectedStore, withStore } from '../open-store.ts'
import { printLoss, type Revision, readLosses, readRevisions } from '../revisions.ts'

export const migrateCommand: Command = {
  name: 'migrate',
  summary: "create Holdfast's tables, or bring them to the newest revision",
  description: [
    'Runs in one transaction, and may be run by many processes at once: one does the work.',
    'The role needs the right to create tables; nothing else in Holdfast does.',
  ].join('\n'),
  options: {
    ...STORE_OPTIONS,
    print: { type: 'boolean', summary: 'print the SQL for an empty database; does not connect' },
    'dry-run': { type: 'boolean', summary: 'show what would be done to this database, and do nothing' },
  },
  examples: [
    { line: 'holdfast migrate --store sqlite:shop.db', does: 'create the tables in a file' },
    {
      line: 'holdfast migrate --store postgres://deploy@db/shop --schema holdfast',
      does: 'the same on PostgreSQL, in a schema that exists',
    },
    {
      line: 'holdfast migrate --store postgres:// --print > holdfast.sql',
      does: 'give the SQL to your own migration tool',
    },
  ],

  async run(given) {
    if (flag(given, 'print') && flag(given, 'dry-run')) {
      throw usageError('--print does not connect and --dry-run does: choose one')
    }
    if (flag(given, 'print')) return printed(printMigrations(unconnectedStore(given), allTables))
    const dryRun = flag(given, 'dry-run')
    return withStore(
      given,
      async ({ store, label }) => {
        const steps = dryRun ? await planned(store) : await migrate(store, allTables)
        const losses = await readLosses(store, allTables, await readRevisions(store, allTables))
        const problems = losses.map(printLoss)
        const lines = steps.map(({ capability, revision }) => `  ${capability}: revision ${revision}`)
        const text =
          steps.length === 0
            ? `${label}: ${problems.length === 0 ? 'the tables are up to date' : 'there is nothing to migrate'}\n`
            : `${label}: ${dryRun ? 'would migrate' : 'migrated'}\n${lines.join('\n')}\n`
        return {
          exitCode: problems.length === 0 ? EXIT.ok : EXIT.problem,
          text: `${text}${problems.map((p) => `${p}; "holdfast doctor" says what to do\n`).join('')}`,
          data: { store: label, dryRun, steps, problems },
        }
      },
      { create: !dryRun, anyRevision: true },
    )
  },
}

/** @throws SchemaRevisionError where `migrate` would */
async function planned(store: Store): Promise<MigrationStep[]> {
  const revisions = await readRevisions(store, allTables)
  return allTables.flatMap((set, i) => {
    const { capability, found, needed, state } = revisions[i] as Revision
    if (state === 'unreadable') throw new SchemaRevisionError(capability, { found, needed })
    return planMigration(store, set, found)
  })
}

function printed(statements: readonly string[]): Report {
  const text = `begin;\n${statements.map((s) => `${s};\n`).join('')}commit;\n`
  return { exitCode: EXIT.ok, text, data: { statements } }
}
