import {
  compareVectors,
  decodeVector,
  encodeVector,
  mergeVectors,
  type VersionVector,
} from '../causality/index.ts'
import { PayloadError } from '../core/errors.ts'
import { hashOf, type RecordId } from './record.ts'

/**
 * What somebody has seen of one record, as opaque text for clients: the record's hash, a point, and the vector. Plain
 * characters only, so that it can stand in an entity tag.
 */
export function encodeContext(record: RecordId, context: VersionVector): string {
  return `${hashOf(record)}.${Buffer.from(JSON.stringify(encodeVector(context))).toString('base64url')}`
}

/** @throws PayloadError for what `encodeContext` does not give, and for the context of another record */
export function decodeContext(record: RecordId, text: string): VersionVector {
  const [, hash, encoded] = /^([\w-]{16})\.([\w-]{0,16384})$/.exec(text) ?? []
  if (encoded === undefined) throw malformed('not a context that a replica gave')
  if (hash !== hashOf(record)) throw malformed('the context of another record')
  try {
    return decodeVector(JSON.parse(Buffer.from(encoded, 'base64url').toString()))
  } catch {
    throw malformed('not a context that a replica gave')
  }
}

/**
 * How a caller's context stands to what is here. `ahead`: it has seen something that is not here yet, and is not to be
 * believed, since a context that is made up would make the writes that it claims to have seen vanish when they come.
 * `floors` are the counts that went with pruned records.
 */
export function standing(
  past: VersionVector,
  here: VersionVector,
  floors: VersionVector,
): 'covers' | 'stale' | 'ahead' {
  const order = compareVectors(past, here)
  if (order === 'equal') return 'covers'
  if (order === 'before') return 'stale'
  const reached = compareVectors(past, mergeVectors(here, floors))
  if (reached === 'after' || reached === 'concurrent') return 'ahead'
  return order === 'after' ? 'covers' : 'stale'
}

function malformed(message: string): PayloadError {
  return new PayloadError('context', [{ path: '$', message }])
}
