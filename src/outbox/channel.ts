import { UnsupportedError } from '../core/errors.ts'
import type { Notify } from '../store/dialect.ts'
import type { Store } from '../store/store.ts'

/** @throws UnsupportedError where the database cannot wake one process from another */
export function notifyOf(store: Store, what: string): Notify {
  const { notify, name } = store.dialect
  if (notify !== undefined) return notify
  throw new UnsupportedError(
    `${what} needs LISTEN/NOTIFY, which ${name} does not have; leave it out, and the relay polls`,
  )
}

/** What one announcement says: the partitions, or nothing when any may have messages. */
export function encodeAnnouncement(partitions: ReadonlySet<number> | undefined): string {
  return partitions === undefined ? '' : [...partitions].join(',')
}

/** Whoever may connect may notify, so what cannot be read means: look everywhere. */
export function decodeAnnouncement(payload: string | undefined): readonly number[] | undefined {
  return payload !== undefined && /^\d+(,\d+)*$/.test(payload) ? payload.split(',').map(Number) : undefined
}
