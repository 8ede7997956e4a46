import { type Check, hasMethods, show } from '../core/options.ts'

/** The store that a call is given. */
export function isStore(store: unknown): Check {
  return hasMethods('store', store, STORE, 'transaction', 'read', 'table')
}

const STORE = 'a store, which postgres(pool) or sqlite({ open }) makes'

/** The open transaction that a call is given; a store has `query` too, but belongs to none. */
export function isTransaction(tx: unknown): Check {
  const given = tx as { query?: unknown; store?: unknown } | null | undefined
  return (
    (typeof given?.query === 'function' && typeof given.store === 'object') ||
    `tx must be the transaction that store.transaction or store.join gives to its callback, got ${show(tx)}`
  )
}

/** For calls that run in a transaction of the caller's or in one of their own. */
export function isStoreOrTransaction(on: unknown): Check {
  if (isStore(on) === true || isTransaction(on) === true) return true
  return `the first argument must be a store or an open transaction, got ${show(on)}`
}
