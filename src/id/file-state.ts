/**
 * The two files of a counter: the state, as Python's permid64 writes it (the next number not yet reserved, in ASCII
 * digits; absent or empty means 0), and beside it a record of how far it was, with a checksum. A state file that was
 * cut, emptied, removed or brought back from a backup still looks like a good one; the record shows that it is behind.
 */
import { createHash } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readSync, renameSync, writeSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { IdStateError } from './errors.ts'
import { SEQUENCE_MAX } from './layout.ts'

const DIGITS_MAX = 32
const SLOT_BYTES = 512

/**
 * The next number not yet reserved, 0 where there is no file.
 * @throws IdStateError when it is no number, or less than what is known to be reserved
 */
export async function readState(path: string): Promise<bigint> {
  const text = await readOrEmpty(path)
  if (text.length > DIGITS_MAX)
    throw new IdStateError(path, 'is too long for a number; is it the right file?')
  const trimmed = text.trim()
  if (!/^[0-9]*$/.test(trimmed))
    throw new IdStateError(path, 'does not hold a number; restore it, never empty it')
  const next = BigInt(trimmed || 0)
  if (next > SEQUENCE_MAX + 1n) throw new IdStateError(path, 'holds a number above 2^48, which no state is')
  const known = await readRecord(path)
  if (next < known)
    throw new IdStateError(
      path,
      `says ${trimmed === '' ? 'nothing' : next}, but numbers up to ${known - 1n} were reserved: it was cut, removed or ` +
        `brought back from a backup. Write ${known} (or more) into it to go on.`,
    )
  return next
}

export function recordPath(path: string): string {
  return `${path}.reserved`
}

async function readRecord(path: string): Promise<bigint> {
  const text = await readOrEmpty(recordPath(path))
  if (text === '') return 0n
  const values = [text.slice(0, SLOT_BYTES), text.slice(SLOT_BYTES)].flatMap((slot) => {
    const [, digits, sum] = /^([0-9]{1,15}) ([0-9a-f]{16})\n/.exec(slot) ?? []
    return digits !== undefined && sum === checksum(digits) ? [BigInt(digits)] : []
  })
  if (values.length === 0)
    throw new IdStateError(recordPath(path), 'is damaged; remove it only if you are sure of the state file')
  return values.reduce((a, b) => (a > b ? a : b))
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw new IdStateError(path, `cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

function checksum(digits: string): string {
  return createHash('sha256').update(`holdfast id state ${digits}`).digest('hex').slice(0, 16)
}

/**
 * Moves the state on, durably: a new file is synced, takes the old one's place, and the folder is synced. Then the
 * record, in place and in two slots by turns, so that a torn write leaves the other. The order matters: the record may
 * be behind the state, never before it.
 * @throws IdStateError; it is then unknown what a later start reads, and what was to be reserved must not be used
 */
export function writeState(path: string, next: bigint): void {
  try {
    const temporary = `${path}.new`
    const file = openSync(temporary, 'w', 0o644)
    try {
      writeAll(file, Buffer.from(next.toString()), 0)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(temporary, path)
    syncFolder(path)
    writeRecord(path, next)
  } catch (error) {
    throw new IdStateError(path, `cannot be written: ${(error as Error).message}`, { cause: error })
  }
}

function writeRecord(path: string, next: bigint): void {
  const { file, made } = openRecord(recordPath(path))
  try {
    const slot = made ? 0 : otherSlot(file)
    writeAll(
      file,
      Buffer.from(`${next} ${checksum(next.toString())}\n`.padEnd(SLOT_BYTES)),
      slot * SLOT_BYTES,
    )
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  if (made) syncFolder(path)
}

function openRecord(path: string): { file: number; made: boolean } {
  try {
    return { file: openSync(path, 'r+'), made: false }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return { file: openSync(path, 'wx+', 0o644), made: true }
  }
}

/** The slot that does not hold the highest number. */
function otherSlot(file: number): 0 | 1 {
  const numbers = [0, 1].map((slot) => {
    const bytes = Buffer.alloc(SLOT_BYTES)
    const length = readSync(file, bytes, 0, SLOT_BYTES, slot * SLOT_BYTES)
    const [, digits, sum] = /^([0-9]{1,15}) ([0-9a-f]{16})\n/.exec(bytes.toString('latin1', 0, length)) ?? []
    return digits !== undefined && sum === checksum(digits) ? Number(digits) : -1
  })
  return (numbers[0] as number) > (numbers[1] as number) ? 1 : 0
}

function writeAll(file: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length; )
    done += writeSync(file, bytes, done, bytes.length - done, position + done)
}

function syncFolder(path: string): void {
  const folder = openSync(dirname(path), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
