import { closeSync, existsSync, mkdirSync, openSync, rmSync } from 'node:fs'
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
  if (keepFolder !== undefined)
    tryTo(() => mkdirSync(keepFolder, { recursive: true }), `--keep: ${keepFolder}`)
}

/** Leaves the file as it was: the run may be interrupted. */
function openForWriting(file: string): void {
  const was = existsSync(file)
  closeSync(openSync(file, 'a'))
  if (!was) rmSync(file)
}

function tryTo(write: () => unknown, what: string): void {
  try {
    write()
  } catch (error) {
    throw new UsageError(`${what} cannot be written: ${(error as Error).message}`)
  }
}
