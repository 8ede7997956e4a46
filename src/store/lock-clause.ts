import { UnsupportedError } from '../core/errors.ts'
import type { DialectName } from './dialect.ts'
import { ownWords } from './own-words.ts'

const LOCK =
  /\bfor\s+(?:no\s+key\s+update|update|key\s+share|share)\b|\block\s+in\s+share\s+mode\b|^\s*lock\s|\bpg_(?:try_)?advisory_xact_lock/gi

const WRITE = /\b(?:insert|update|delete|merge)\b/i

/**
 * Refuses a statement whose only point is a lock, where the transaction would end with the statement and the lock with
 * it: databases accept such a statement and protect nothing.
 *
 * A plain check of the text: `select … for update` (and its kin), LOCK TABLE, and transaction-level advisory locks. A
 * statement that locks and writes at once (`with t as (select … for update skip locked) delete …`) is fine.
 * @throws UnsupportedError
 */
export function refuseLoneLock(text: string, dialect: DialectName): void {
  if (!/\b(?:for|lock|pg_\w*lock)\b/i.test(text)) return
  const bare = ownWords(text, dialect)
  const rest = bare.replace(LOCK, ' ')
  if (rest === bare || WRITE.test(rest)) return
  throw noTransactionToLockIn()
}

export function noTransactionToLockIn(): UnsupportedError {
  return new UnsupportedError(
    'a lock lasts as long as its transaction, and here no transaction is open: it would be gone before the next ' +
      'statement; lock inside store.transaction((tx) => tx.lockRows(…))',
  )
}
