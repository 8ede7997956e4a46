import { createHash } from 'node:crypto'
import type { Place } from './place.ts'

/** What looks random and is the same on replay: from the saga's id, the branch, and a count. */
function derive(place: Place): Buffer {
  place.derived += 1
  return createHash('sha256').update(`${place.run.id}\n${place.path}\n${place.derived}`).digest()
}

export function randomAt(place: Place): number {
  return derive(place).readUIntBE(0, 6) / 2 ** 48
}

export function idAt(place: Place): string {
  const bytes = derive(place).subarray(0, 16)
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x80 // version 8, variant 1: RFC 9562
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
