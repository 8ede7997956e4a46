import { accessSync, constants, statfsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Store } from '../../store/index.ts'
import { type Finding, ok, problem, warning } from './finding.ts'

export interface SqliteFacts {
  readonly version: string
  readonly journalMode: string
  readonly fileWritable: boolean
  readonly folderWritable: boolean
  /** The kind of file system by its magic number, as statfs(2) gives it. */
  readonly fileSystem: number
  readonly freeBytes: number
  readonly logBytes: number
  /** False when another process kept the write lock for the whole time that was waited. */
  readonly writeLock: boolean
}

export async function readSqliteFacts(store: Store, path: string): Promise<SqliteFacts> {
  const [version] = await store.query<{ v: string }>('select sqlite_version() as v')
  const [journal] = await store.query<{ journal_mode: string }>('pragma journal_mode')
  const fileSystem = statfsSync(path)
  return {
    version: version?.v ?? '0',
    journalMode: journal?.journal_mode ?? '',
    fileWritable: isWritable(path),
    folderWritable: isWritable(dirname(path)),
    fileSystem: fileSystem.type,
    freeBytes: fileSystem.bavail * fileSystem.bsize,
    logBytes: statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0,
    writeLock: await canWrite(store),
  }
}

/** Pure. */
export function judgeSqlite(facts: SqliteFacts): Finding[] {
  return [
    version(facts),
    facts.fileWritable && facts.folderWritable
      ? ok('writable', 'the file and its folder are writable')
      : problem(
          'writable',
          `the ${facts.fileWritable ? 'folder' : 'file'} is not writable`,
          'SQLite writes the file and two more beside it: give this user the right to write both',
        ),
    facts.journalMode === 'wal'
      ? ok('journal', 'the journal mode is WAL')
      : problem(
          'journal',
          `the journal mode is ${facts.journalMode}`,
          'readers and writers would stop each other: this file system does not allow WAL, so move the file',
        ),
    fileSystem(facts),
    facts.freeBytes < 256 * 2 ** 20
      ? warning('disk', `${mebibytes(facts.freeBytes)} are free`, 'a full disk stops every write: make room')
      : ok('disk', `${mebibytes(facts.freeBytes)} are free`),
    facts.logBytes > 128 * 2 ** 20
      ? warning(
          'log',
          `the write-ahead log has ${mebibytes(facts.logBytes)}`,
          'some connection keeps a read transaction open, so that the log cannot be emptied: end it',
        )
      : ok('log', `the write-ahead log has ${mebibytes(facts.logBytes)}`),
    facts.writeLock
      ? ok('write-lock', 'the write lock was free')
      : warning(
          'write-lock',
          'another process kept the write lock for more than 5 s',
          'nobody else can write meanwhile: look for a long or forgotten transaction',
        ),
  ]
}

function version({ version }: SqliteFacts): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > 3 || minor >= 38) return ok('version', `SQLite ${version}`)
  return problem(
    'version',
    `SQLite ${version}`,
    'Holdfast needs 3.38 or later (the JSON operators): update the driver',
  )
}

/** @see linux/magic.h. WAL needs memory that processes share, which these do not have. */
const NETWORK: Readonly<Record<number, string>> = {
  26985: 'NFS',
  20859: 'SMB',
  4283649346: 'CIFS',
  4266872130: 'SMB2',
  16914839: '9P',
  1702057286: 'FUSE',
}

function fileSystem(facts: SqliteFacts): Finding {
  const name = NETWORK[facts.fileSystem]
  if (name === undefined) return ok('file-system', 'the file system is local, as far as one can tell')
  return warning(
    'file-system',
    `the file is on ${name}`,
    'WAL needs memory shared by all processes, which exists on one machine only: move the file to a local disk',
  )
}

async function canWrite(store: Store): Promise<boolean> {
  try {
    await store.transaction((tx) => tx.query('select 1'), { retries: 0 })
    return true
  } catch (error) {
    if ((error as { code?: string }).code === 'STORE_BUSY') return false
    throw error
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`
}
