/** The stores of random programs, for processes of their own as well. */
import { createTwoPhase } from 'holdfast/two-phase'
import { openStoreAt } from '../support/store-at.ts'
import type { ProgramStores } from './program.ts'

/** Each a file or a URL. */
export interface ProgramAddresses {
  readonly own: string
  readonly other: string
}

export const isPostgres = (at: string): boolean => at.startsWith('postgres')

/** The journal's store is the log of two-phase commit, so on SQLite it is the last resource. */
export function openPrograms(at: ProgramAddresses): ProgramStores & { close(): Promise<void> } {
  const canPrepare = isPostgres(at.other)
  const open = (place: string) =>
    openStoreAt(place, { max: 8, idle_in_transaction_session_timeout: 2_000 }, canPrepare ? 'full' : 'normal')
  const [ownAt, otherAt] = [open(at.own), open(at.other)]
  const [own, other] = [ownAt.store, otherAt.store]
  return {
    own,
    other,
    twoPhase: canPrepare ? createTwoPhase(own, { participants: { own, other } }) : undefined,
    async close() {
      await ownAt[Symbol.asyncDispose]()
      await otherAt[Symbol.asyncDispose]()
    },
  }
}
