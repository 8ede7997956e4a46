import { orAbort } from '../../core/abort.ts'
import { Explorer } from '../explorer.ts'
import { poolOf, type Race, type ResolvedOptions } from '../race.ts'
import { type RaceReport, wantsRemedies, withRemedies } from '../report.ts'
import { moduleOf, sqliteOf } from '../sqlite/handle.ts'
import { type Clones, clonePg } from './pg-clones.ts'
import type { Redirect } from './protocol.ts'
import { cloneSqlite } from './sqlite-clones.ts'
import { WorkerPool } from './worker-pool.ts'

/**
 * Explores a race in `count` other processes, each with a clone of the database. Nothing of it runs here, so nothing is
 * patched. Clones and processes are gone when it settles.
 *
 * @throws RaceCloneError, RaceModuleError: nothing was run; RaceWorkerLostError; the reason of `signal`; what `explore` throws
 */
export async function exploreSpread(
  race: Race,
  options: ResolvedOptions,
  count: number,
): Promise<RaceReport> {
  const module = moduleOf(race, 'each worker is a process that loads it')
  options.signal?.throwIfAborted()
  const clones = await cloneStore(race, module, count)
  const pool = new WorkerPool(count)
  let report: RaceReport
  try {
    options.signal?.throwIfAborted()
    const { redirects } = clones
    // At once: a schedule that is under way ends with its process.
    report = await orAbort(search(race, options, pool, { module, redirects }), options.signal)
  } catch (error) {
    await pool.end()
    // What ended the search is what matters; clones that are left are dropped by the next one.
    await clones.drop().catch(() => {})
    throw error
  }
  await pool.end()
  await clones.drop()
  return report
}

async function cloneStore(race: Race, module: string, count: number): Promise<Clones<Redirect>> {
  const sqlite = sqliteOf(race)
  if (sqlite === undefined) {
    const { redirects, drop } = await clonePg(poolOf(race), count)
    return { redirects: redirects.map((redirect) => ({ kind: 'pg', ...redirect })), drop }
  }
  const { redirects, drop } = cloneSqlite(sqlite.open(), module, count)
  return { redirects: redirects.map((redirect) => ({ kind: 'sqlite', ...redirect })), drop }
}

async function search(
  race: Race,
  options: ResolvedOptions,
  pool: WorkerPool,
  { module, redirects }: { readonly module: string; readonly redirects: readonly Redirect[] },
): Promise<RaceReport> {
  const { workers, signal, ...given } = options
  await pool.start(redirects.map((redirect) => ({ module, race: race.name, options: given, redirect })))
  const names = Object.keys(race.definition.tasks)
  const { report } = await new Explorer(race.name, names, options, pool).run()
  if (!wantsRemedies(report, options)) return report
  return withRemedies(report, await pool.remedies(report))
}
