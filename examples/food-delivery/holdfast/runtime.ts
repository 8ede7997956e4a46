import type { OwnTransaction, Sql, Store, TableSet, Transaction } from 'holdfast'
import type { Broker } from 'holdfast/broker'
import { effectTables } from 'holdfast/effects'
import { createInbox, inboxTables } from 'holdfast/inbox'
import { leaseTables } from 'holdfast/lease'
import { createOutbox, deadLetterTables, type Outbox, outboxTables } from 'holdfast/outbox'
import { storeTables } from 'holdfast/store'
import { failpoints } from 'holdfast/testing'
import type { DatabaseAddress } from '../shared/database.ts'
import { prepareTables } from '../shared/prepare.ts'
import { openStore } from '../shared/store.ts'

/**
 * Short, so that the messages of a killed process wait for about a second. On PostgreSQL a renewal is three round trips
 * beside everybody else's, and a lease that is lost to a busy machine throws away the work done under it.
 */
const LEASE_MS = { sqlite: 700, postgres: 1_500 } as const

export interface RuntimeOptions {
  readonly database: DatabaseAddress
  readonly broker: Broker
  /** Tables beyond those of outbox and inbox. */
  readonly tables?: readonly TableSet[]
  /** Asked for each commit, with a share of the full chance: whether its answer is lost, and whether it happens.
   * Undefined where connections really break. */
  readonly losesCommit: ((share: number) => 'before' | 'after' | undefined) | undefined
  /** What each unit of work gets in place of its transaction. */
  readonly around?: (tx: OwnTransaction) => OwnTransaction
}

/** A message as a service is given it. */
export interface Received<Payload> {
  readonly id: string
  readonly headers: Readonly<Record<string, string>>
  readonly payload: Payload
}

/** What a service that uses Holdfast stands on: its store, its outbox with a relay, and its consumers. */
export interface Runtime {
  readonly store: Store
  readonly outbox: Outbox
  /** One unit of work of the business; its COMMIT may get no answer. */
  transaction<T>(work: (tx: OwnTransaction) => Promise<T>): Promise<T>
  /** Reads outside any transaction that writes: what it gives may be old a moment later. */
  read<Row extends object>(statement: Sql): Promise<Row[]>
  /** Handles each message of a topic once, in one transaction. */
  on<Payload>(
    topic: string,
    group: string,
    handle: (tx: OwnTransaction, message: Received<Payload>) => Promise<unknown>,
    source?: Broker,
  ): void
  /** Called last in a transaction of somebody else: its COMMIT may get no answer either. */
  atRisk(tx: OwnTransaction): void
  /** Messages that are on their way out. */
  inHand(): Promise<number>
  stop(): Promise<void>
}

export async function startRuntime(options: RuntimeOptions): Promise<Runtime> {
  const { database, broker, tables = [], losesCommit, around = (tx) => tx } = options
  const { store, close } = await openStore(database)
  await prepareTables(store, [
    storeTables,
    leaseTables,
    effectTables,
    outboxTables,
    deadLetterTables,
    inboxTables,
    ...tables,
  ])
  const outbox = createOutbox(store)
  const inbox = createInbox(store)
  const ttlMs = LEASE_MS[database.kind]
  const retry = { baseMs: 20, capMs: 500 }
  const relay = outbox.relay({ broker, ttlMs, pollMaxMs: 100, retry })
  const consumers: ReturnType<typeof inbox.consumer>[] = []
  const atRisk = losesCommit === undefined ? () => {} : injectLostCommits(losesCommit)
  const work = async <T>(tx: OwnTransaction, run: (tx: OwnTransaction) => Promise<T>): Promise<T> => {
    const result = await run(around(tx))
    atRisk(tx)
    return result
  }

  return {
    store,
    outbox,
    atRisk,
    transaction: (run) => store.transaction((tx) => work(tx, run)),
    read: (statement) => store.transaction((tx) => tx.query(statement), { readOnly: true }),
    on<Payload>(
      topic: string,
      group: string,
      handle: (tx: OwnTransaction, message: Received<Payload>) => Promise<unknown>,
      source = broker,
    ): void {
      consumers.push(
        inbox.consumer({
          broker: source,
          topic,
          group,
          ttlMs,
          retry,
          handler: (tx, message) =>
            work(tx, async (scope) => void (await handle(scope, message as Received<Payload>))),
        }),
      )
    },
    async inHand() {
      const { backlog, later } = await outbox.figures()
      return backlog + later
    },
    async stop() {
      failpoints.reset()
      await Promise.all([...consumers, relay].map((part) => part.stop({ drainMs: 500 })))
      await close()
    },
  }
}

/**
 * Arms the library's own failpoints around COMMIT. Transactions of the business are marked at their end and meet the
 * full rate; the many small ones of relay, consumers and queue a fraction of it.
 *
 * Gives the function to call last in a transaction's work, so that the mark is set right before its COMMIT.
 */
function injectLostCommits(losesCommit: (share: number) => 'before' | 'after' | undefined) {
  let marked: 'before' | 'after' | undefined
  let lostAfter = 0
  failpoints.arm('store.commit.before', () => {
    const lost = marked ?? losesCommit(BACKGROUND_SHARE)
    marked = undefined
    if (lost === 'before') throw new Error('connection lost')
    if (lost === 'after') lostAfter += 1
  })
  failpoints.arm('store.commit.after', () => {
    if (lostAfter === 0) return
    lostAfter -= 1
    throw new Error('connection lost')
  })
  const mark = async (_: Transaction, drawn: readonly ('before' | 'after')[]): Promise<void> => {
    marked = drawn[0]
  }
  return (tx: OwnTransaction): void => {
    const lost = losesCommit(1)
    if (lost !== undefined) tx.beforeCommit(mark, lost)
  }
}

const BACKGROUND_SHARE = 0.02
