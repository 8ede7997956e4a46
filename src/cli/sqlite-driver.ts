import type { SqliteDatabaseLike } from '../store/sqlite/index.ts'
import { CliError } from './cli-error.ts'
import { EXIT } from './command.ts'

type Open = (path: string) => SqliteDatabaseLike

/**
 * The SQLite that comes with Node (22.13 and later), else `libsql`. One process must use one library only: the file
 * locks of a process belong to all its handles, and a second library's `close` gives up those of the first.
 *
 * @throws CliError naming the package to install
 */
export async function loadSqlite(): Promise<Open> {
  const builtin = quietly(() => process.getBuiltinModule?.('node:sqlite' as never)) as
    | { readonly DatabaseSync: new (path: string) => SqliteDatabaseLike }
    | undefined
  if (builtin !== undefined) return (path) => new builtin.DatabaseSync(path)
  try {
    const name = 'libsql'
    const { default: Database } = (await import(name)) as {
      default: new (path: string) => SqliteDatabaseLike
    }
    return (path) => new Database(path)
  } catch (cause) {
    throw new CliError(
      'DRIVER_MISSING',
      EXIT.unreachable,
      'no SQLite driver can be loaded: run "npm install libsql", or use Node 22.13 or later, which has its own',
      { cause },
    )
  }
}

/** Loading node:sqlite prints a warning that it is experimental, which says nothing to who runs a command. */
function quietly<T>(load: () => T): T {
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return load()
  } finally {
    process.emitWarning = emitWarning
  }
}
