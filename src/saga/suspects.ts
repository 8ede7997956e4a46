import type { Entry } from './entry.ts'

/** After so many deaths in a row, a saga may be what killed the process. */
const DEATHS = 2

/** A suspect that is put off is looked at again after this. */
export const SUSPECT_WAIT_MS = 100

/**
 * True when the processes that had this saga in hand died at least twice in a row, with nothing added to it between.
 *
 * A saga that kills its process takes down whatever runs beside it, again and again, and all of them have died equally
 * often. So a process runs one suspect at a time: those that are innocent get on, and the one that is not dies alone.
 */
export function isSuspect(isHeld: boolean, entries: readonly Entry[]): boolean {
  return isHeld && entries.length >= DEATHS && entries.slice(-DEATHS).every((e) => e.kind === 'interrupted')
}

/** The first suspect where there is room for one, and everybody else; the other suspects are put off. */
export function takeOneSuspect<T extends { readonly suspect: boolean }>(
  list: readonly T[],
  hasRoom: boolean,
): { readonly taken: T[]; readonly putOff: T[] } {
  const first = hasRoom ? list.find(({ suspect }) => suspect) : undefined
  return {
    taken: list.filter((one) => !one.suspect || one === first),
    putOff: list.filter((one) => one.suspect && one !== first),
  }
}
