import { createHash } from 'node:crypto'

/**
 * A name that any broker takes, made of any text: letters, digits, `-` and `_` stay, every other byte of the UTF-8
 * form becomes `=XX`. Different texts give different names. What would be longer than `lengthMax` is cut and ends in
 * `~` and a hash of the whole.
 *
 * `keep` adds characters that stay. Stored in the names of queues and streams, so it can never change.
 */
export function encodeName(text: string, lengthMax: number, keep = ''): string {
  let name = ''
  for (const byte of Buffer.from(text)) {
    const char = String.fromCharCode(byte)
    name +=
      /[A-Za-z0-9_-]/.test(char) || keep.includes(char)
        ? char
        : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  if (name.length <= lengthMax) return name
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 40)
  return `${name.slice(0, lengthMax - hash.length - 1)}~${hash}`
}
