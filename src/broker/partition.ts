import { checkArguments, isCount, isObject, isText } from '../core/options.ts'
import type { Message } from './broker.ts'

/**
 * The partition of a key: FNV-1a over its UTF-16 code units, finished with a multiplicative mix so that short keys
 * spread. Stored in tables and broker names, so it can never change.
 * @see http://www.isthe.com/chongo/tech/comp/fnv/
 */
export function partitionOf(key: string, partitions: number): number {
  if (typeof key !== 'string' || !Number.isInteger(partitions) || partitions < 1) refuse(key, partitions)
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return ((hash ^ (hash >>> 13)) >>> 0) % partitions
}

/** The partition of a message: that of its key; one without a key has no order and is spread by its id. */
export function partitionOfMessage(message: Pick<Message, 'key' | 'id'>, partitions: number): number {
  checkArguments('partitionOfMessage', isObject('message', message))
  return partitionOf(message.key ?? message.id, partitions)
}

function refuse(key: unknown, partitions: unknown): void {
  checkArguments('partitionOf', isText('key', key), isCount('partitions', partitions, 1, 2 ** 31))
}
