import { ConfigError } from '../core/errors.ts'
import { checkArguments, checkOptions, isName, isObject, isToken } from '../core/options.ts'
import { isTransaction } from '../store/arguments.ts'
import { sql } from '../store/sql.ts'
import type { Transaction } from '../store/transaction.ts'
import { StaleFenceError } from './errors.ts'

export interface FenceOptions {
  /** What the token protects, in the words of whoever writes to it: `account/42`. */
  readonly resource: string
  /** The fencing token: the epoch of the lease or lock. */
  readonly token: bigint
  /** Who holds it, unique per process start, so that one token in two hands is noticed. */
  readonly holder: string
}

/**
 * What a lock shows to the guard: one holder at a time, so its token orders the holders. Shared locks and permits of a
 * semaphore are none, by `mode`.
 */
export interface FencedLock {
  readonly mode: 'exclusive'
  /** Also the resource that the token protects. */
  readonly name: string
  readonly token: bigint
  readonly holder: string
}

/**
 * Presents a fencing token to a resource, in the transaction that then writes to it. Of a lock, or of several, the
 * resource is its name. An empty list is refused: it would guard nothing.
 *
 * Guarantee: the tokens that a resource accepts never decrease, and once a newer one was presented in a committed
 * transaction, older ones are refused. An equal token is accepted from the same holder only. The fence row stays
 * locked until COMMIT, so whoever presents another token waits until this transaction has ended. What it cannot do:
 * stop a stale holder before the newer one has presented its token here.
 * @throws StaleFenceError, outcome `not-applied`; let it end the transaction. ConfigError
 */
export async function fence(
  tx: Transaction,
  given: FenceOptions | FencedLock | readonly FencedLock[],
): Promise<void> {
  checkArguments('fence', isTransaction(tx))
  if (isList(given)) {
    checkArguments(
      'fence',
      given.length > 0 || 'give at least one lock: an empty list would guard nothing',
      ...Array.from(given, (lock) => isObject('each lock', lock)),
    )
    // One order everywhere, so that two transactions with the same locks do not wait for each other in a circle.
    for (const lock of [...given].sort((a, b) => (a.name < b.name ? -1 : 1))) await fence(tx, lock)
    return
  }
  const options = toPresent('fence', given)
  const { resource, token } = options
  if (await present(tx, options)) return
  const [row] = await tx.query<{ token: string | number | bigint }>(
    sql`select token from ${tx.store.table('fence')} where resource = ${resource}`,
  )
  throw new StaleFenceError({ resource, presented: token, current: BigInt(row?.token ?? token) })
}

function isList(given: object): given is readonly FencedLock[] {
  return Array.isArray(given)
}

/**
 * What is shown to a guard, wherever it stands: in a store, in Redis, behind HTTP. Callers without types may hand in what
 * the types refuse, and a reader's token, or one that is no number, would shut out the holders of the lock.
 * @throws ConfigError
 */
export function toPresent(subject: string, given: FenceOptions | FencedLock): FenceOptions {
  if (typeof given !== 'object' || given === null) {
    throw new ConfigError(subject, ['give a lock, or { resource, token, holder }'])
  }
  const options = 'mode' in given ? ofLock(subject, given) : given
  const { resource, token, holder } = options
  checkOptions(
    subject,
    options,
    ['resource', 'token', 'holder'],
    [isName('resource', resource, 500), isToken('token', token), isName('holder', holder)],
  )
  return options
}

function ofLock(subject: string, { mode, name, token, holder }: FencedLock): FenceOptions {
  if (mode !== 'exclusive') {
    throw new ConfigError(subject, [
      `the token of a lock that is held as "${mode}" orders nothing; only exclusive locks can be presented`,
    ])
  }
  return { resource: name, token, holder }
}

/**
 * One statement that checks, writes and locks.
 *
 * PostgreSQL: a conflicting row is locked first and `where` is looked at on its newest version, also when it refuses.
 * The row is written even if the token stays the same, and so stays locked until COMMIT: a plain read would let a
 * zombie commit beside its successor. At stricter levels a row that changed since the snapshot fails with 40001.
 * @see PostgreSQL manual, INSERT, ON CONFLICT Clause
 */
async function present(tx: Transaction, { resource, token, holder }: FenceOptions): Promise<boolean> {
  const table = tx.store.table('fence')
  const changed = await tx.execute(
    sql`insert into ${table} as present (resource, token, holder) values (${resource}, ${token}, ${holder})
      on conflict (resource) do update set token = excluded.token, holder = excluded.holder
      where present.token < excluded.token or (present.token = excluded.token and present.holder = excluded.holder)`,
  )
  return changed === 1
}
