/** Copies of the race's SQLite file, one for each worker. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { SqliteDatabaseLike } from '../../store/sqlite/sqlite-client.ts'
import { RaceCloneError } from '../errors.ts'
import { loadedDrivers } from '../sqlite/driver-of.ts'
import { fileOf, type SqliteHandle } from '../sqlite/handle.ts'
import type { Clones } from './pg-clones.ts'
import type { SqliteRedirect } from './redirect-sqlite.ts'

/** The file, and what is not yet in it. Reads the source and the targets as JSON. */
const COPY = `
  const { copyFileSync, existsSync, readFileSync } = require('node:fs')
  const { from, targets } = JSON.parse(readFileSync(0, 'utf8'))
  for (const to of targets) for (const end of ['', '-wal']) if (existsSync(from + end)) copyFileSync(from + end, to + end)`

/**
 * Copies the file of this handle while no one writes to it.
 *
 * @throws RaceCloneError for a database that is in no file, or that somebody is writing to
 */
export function cloneSqlite(
  { handle, close }: SqliteHandle,
  module: string,
  count: number,
): Clones<SqliteRedirect> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-race-'))
  const drop = async (): Promise<void> => rmSync(folder, { recursive: true, force: true })
  try {
    const from = fileOf(handle)
    if (from === undefined) {
      throw new RaceCloneError(
        'no copy of the database can be made for a worker: it is in memory or on a server, and not in a file',
      )
    }
    const targets = Array.from({ length: count }, (_, at) => {
      mkdirSync(join(folder, String(at)))
      return join(folder, String(at), basename(from))
    })
    copy(handle, from, targets)
    const drivers = loadedDrivers(module)
    return { redirects: targets.map((to) => ({ from, to, drivers })), drop }
  } catch (error) {
    void drop()
    throw error
  } finally {
    close()
  }
}

/**
 * With the write lock held nobody appends to the log or starts it anew; a checkpoint meanwhile writes into the file only
 * what the copy of the log holds too. Another process copies: closing the file would give up this one's locks on it.
 * @see https://www.sqlite.org/howtocorrupt.html, section 2.2
 */
function copy(handle: SqliteDatabaseLike, from: string, targets: readonly string[]): void {
  try {
    handle.exec('begin immediate')
  } catch (cause) {
    throw new RaceCloneError(
      `no copy of ${from} can be made for a worker while somebody writes to it (${(cause as Error).message})`,
      { cause },
    )
  }
  try {
    const { status, stderr } = spawnSync(process.execPath, ['-e', COPY], {
      encoding: 'utf8',
      input: JSON.stringify({ from, targets }),
    })
    if (status !== 0) throw new RaceCloneError(`${from} cannot be copied for a worker: ${stderr.trim()}`)
  } finally {
    handle.exec('rollback')
  }
}
