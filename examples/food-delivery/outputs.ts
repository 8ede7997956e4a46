import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmdirSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { UsageError } from './arguments.ts'

/**
 * Refuses what could not be written when a run has ended, before it begins.
 * @throws UsageError
 */
export function refuseUnwritable({
  htmlFile,
  historyFile,
  keepFolder,
}: {
  readonly htmlFile: string | undefined
  readonly historyFile: string | undefined
  readonly keepFolder: string | undefined
}): void {
  if (htmlFile !== undefined) tryTo(() => openForWriting(htmlFile), `--html: ${htmlFile}`)
  if (historyFile !== undefined) tryTo(() => openForWriting(historyFile), `--history: ${historyFile}`)
  if (keepFolder !== undefined) tryTo(() => makeFolder(resolve(keepFolder)), `--keep: ${keepFolder}`)
}

/** Leaves the file as it was: the run may be interrupted. */
function openForWriting(file: string): void {
  const was = existsSync(file)
  closeSync(openSync(file, 'a'))
  if (!was) rmSync(file)
}

/**
 * Makes a folder that takes files. Level by level: `mkdirSync` with `recursive` goes round for ever where a folder that is
 * there takes none (/proc).
 */
function makeFolder(folder: string): void {
  if (!existsSync(folder)) {
    makeFolder(dirname(folder))
    mkdirSync(folder)
  }
  rmdirSync(mkdtempSync(join(folder, '.holdfast-')))
}

function tryTo(write: () => unknown, what: string): void {
  try {
    write()
  } catch (error) {
    throw new UsageError(`${what} cannot be written: ${(error as Error).message}`)
  }
}
