import { randomUUID } from 'node:crypto'
import { throwIfAborted } from '../core/abort.ts'
import { isHoldfastError } from '../core/errors.ts'
import { optionsOf } from '../core/options.ts'
import { CommitUnknownError } from './errors.ts'
import type { Ground } from './open-transaction.ts'
import { runTransaction } from './run-transaction.ts'
import type { OwnScope } from './scope.ts'
import type { Sql } from './sql.ts'
import type { Store, TransactionOptions } from './store.ts'

/** One statement that is a transaction by itself. What gets no answer has its COMMIT in it, and so may be applied. */
export async function autocommit<R extends object>(
  ground: Ground,
  statement: Sql,
  given: NonNullable<Parameters<Store['autocommit']>[1]>,
): Promise<R[]> {
  throwIfAborted(optionsOf('autocommit', given).signal)
  let scope: OwnScope | undefined
  const send = (tx: OwnScope) => {
    scope = tx
    return tx.query<R>(statement)
  }
  try {
    return await runTransaction(ground, send, given, true)
  } catch (error) {
    if (!scope?.mayStand || !isUnanswered(error, given)) throw error
    throw new CommitUnknownError(randomUUID(), false, ground.store.clock.now(), { cause: error })
  }
}

function isUnanswered(error: unknown, { signal }: Pick<TransactionOptions, 'signal'>): boolean {
  if (signal?.aborted && error === signal.reason) return true
  return isHoldfastError(error) && ['STORE_UNAVAILABLE', 'TRANSACTION_TIMEOUT'].includes(error.code)
}
