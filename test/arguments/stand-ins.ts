/** Stores, transactions and drivers that a refused call never reaches. */

import { sqliteDialect } from 'holdfast/sqlite'
import { createStore, type Transaction } from 'holdfast/store'

function reached(): never {
  throw new Error('went on to the database, the broker or the driver')
}

const rejects = async (): Promise<never> => reached()

/** Of which every call fails. */
export const store = createStore(
  {
    dialect: sqliteDialect,
    begin: rejects,
    adopt: () => ({ run: rejects, lockRows: rejects }),
    adoptSync: () => ({ runSync: reached }),
    close: async () => {},
  } as never,
  {},
)

export const tx = {
  store,
  joined: false,
  attempt: 1,
  signal: new AbortController().signal,
  query: rejects,
  execute: rejects,
  lockRows: rejects,
  beforeCommit: reached,
  afterCommit: reached,
  transaction: rejects,
} as unknown as Transaction

export const syncTx = { store, joined: 'sync', querySync: reached, executeSync: reached }

/** A client of Redis, etcd, ZooKeeper, RabbitMQ, NATS or PostgreSQL: it has every method, and each fails. */
export const driver: Record<string, unknown> = new Proxy(
  {},
  {
    get: (_, name) => (name === 'then' || typeof name === 'symbol' ? undefined : reached),
    has: (_, name) => name !== 'processID',
  },
)

export const broker = {
  name: 'stand-in',
  partitions: 1,
  publish: rejects,
  subscribe: rejects,
  close: async () => {},
  [Symbol.asyncDispose]: async () => {},
}
