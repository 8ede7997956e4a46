import { existsSync } from 'node:fs'
import { lstat, realpath, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { isHoldfastError } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import { checkOptions } from '../core/options.ts'
import { IdStateError } from './errors.ts'
import { isOwned, ownFile } from './file-owner.ts'
import { readState, recordPath, writeState } from './file-state.ts'
import { checkFits, type OpenSource, type SequenceSource } from './source.ts'

/**
 * A counter in a file of this machine; no server. State files of Python's permid64 are continued, and go on to be read
 * there.
 *
 * Guarantee: a block is on the disk (file and folder synced) before a number of it is used, so neither kill -9 nor a
 * loss of power leads to a repetition. A second live generator on the file is refused, be it a thread, a process, or a
 * container on the same machine that shares the folder. A state that fell behind what was reserved (cut, emptied,
 * removed, restored) is refused.
 * Not on network file systems, nor on Windows: machines that share a counter reserve in the store.
 */
export function fileCounter(path: string): SequenceSource {
  checkOptions('fileCounter', {}, [], [isPath(path)])
  return { shared: false, open: async () => openFile(await locate(resolve(path))) }
}

/**
 * The file itself where the name is a link to it: the state is replaced whole, and beside a link there would be two of them.
 * What is no file (a device, a pipe, a folder) is refused before it is read, or one would take its place.
 */
async function locate(path: string): Promise<string> {
  const named = await lstat(path).catch(() => undefined)
  if (named === undefined) return path
  let real: string
  let isFile: boolean
  try {
    real = await realpath(path)
    isFile = (await stat(real)).isFile()
  } catch (error) {
    throw new IdStateError(path, `is a link that leads nowhere: ${(error as Error).message}`, {
      cause: error,
    })
  }
  if (!isFile) throw new IdStateError(path, 'is not a regular file; name one that only this generator writes')
  return real
}

async function openFile(path: string): Promise<OpenSource> {
  const owner = await ownFile(path).catch((error: unknown) => {
    if (isHoldfastError(error)) throw error
    throw new IdStateError(path, `its folder cannot be used: ${(error as Error).message}`, { cause: error })
  })
  let next: bigint
  try {
    next = await readState(path)
  } catch (error) {
    await owner.release()
    throw error
  }
  /** After a failed write nobody knows what the file says, so nothing more comes from it until it is opened again. */
  let failed: unknown
  return {
    async reserve(count) {
      if (failed !== undefined) throw failed
      const first = next
      checkFits(first, count)
      await failpoint('id.file.reserving')
      try {
        writeState(path, first + BigInt(count))
      } catch (error) {
        failed = error
        throw error
      }
      await failpoint('id.file.reserved')
      next = first + BigInt(count)
      return Number(first)
    },
    close: () => owner.release(),
  }
}

export interface FileCounterState {
  /** The next sequence number not yet reserved. */
  readonly next: bigint
  /** True while a generator that is alive has the file. */
  readonly inUse: boolean
  /** False for a file that only permid64 has written. */
  readonly hasRecord: boolean
}

/** Reads a state file without touching it. @throws IdStateError */
export async function inspectFileCounter(path: string): Promise<FileCounterState> {
  checkOptions('inspectFileCounter', {}, [], [isPath(path)])
  const full = await locate(resolve(path))
  if (!existsSync(full)) throw new IdStateError(full, 'does not exist')
  return { next: await readState(full), inUse: await isOwned(full), hasRecord: existsSync(recordPath(full)) }
}

function isPath(path: unknown): true | string {
  return (
    (typeof path === 'string' && path !== '' && !path.includes('\0')) ||
    'path must be the name of a file, without NUL characters'
  )
}
