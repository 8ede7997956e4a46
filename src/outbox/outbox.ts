import { ConfigError, UnsupportedError } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import { checkArguments, isObject } from '../core/options.ts'
import { isStore } from '../store/arguments.ts'
import type { Store } from '../store/store.ts'
import type { Flush, Row, SyncTransaction, Transaction } from '../store/transaction.ts'
import { Announcer } from './announcer.ts'
import {
  checkMessage,
  type OutboundMessage,
  type OutboxRow,
  type PayloadOf,
  type TopicName,
  type Topics,
} from './message.ts'
import { type OutboxOptions, type ResolvedOutboxOptions, resolveOutboxOptions } from './outbox-options.ts'
import { Rate } from './rate.ts'
import { OutboxRelay, type Relay } from './relay.ts'
import type { RelayOptions } from './relay-options.ts'
import { sourceOf } from './source.ts'
import {
  countDeadLetters,
  countLater,
  type FirstRow,
  insertFirst,
  insertLater,
  insertMessages,
  readBacklog,
} from './statements.ts'
import { expectAtRelays, offerOfRelays, wakeRelays } from './wake.ts'

/** What was published; consumers de-duplicate on the id. */
export interface Published {
  readonly id: string
}

/** The state of an outbox. Counts and ages come from the store; rates and totals are those of this process. */
export interface OutboxFigures {
  readonly name: string
  /** Messages that are ready and not yet with the broker, those of blocked keys included. */
  readonly backlog: number
  /** Age of the oldest of them on the store's clock, which is the lag; 0 when there is none. */
  readonly oldestAgeMs: number
  /** Delayed messages, and those of `skip` topics that wait for another attempt. */
  readonly later: number
  readonly deadLetters: number
  readonly published: number
  readonly publishedPerSecond: number
  readonly relayed: number
  readonly relayedPerSecond: number
  readonly retries: number
}

// biome-ignore lint/suspicious/noExplicitAny: without a type argument, an outbox of any topics is meant
export interface Outbox<T extends Topics = any> {
  readonly name: string

  /**
   * Checks a message and queues it; all that one transaction queued is inserted by one statement right before COMMIT.
   *
   * Guarantee: once the transaction is committed the broker gets the message at least once; when it is not, never.
   * Order: docs/explanation/ordering.md. Where a schema is asynchronous, await each call to keep the order of calls.
   * @throws PayloadError with the path of each field that does not fit; ConfigError. Nothing was queued then.
   */
  publish<Name extends TopicName<T>>(
    tx: Transaction,
    message: OutboundMessage<Name, PayloadOf<T, Name>>,
  ): Promise<Published>

  /**
   * Whether `publish` would take this message in a transaction of `store`: for a message that is sent later, by a
   * transaction that must not fail.
   * @throws what `publish` would throw
   */
  check<Name extends TopicName<T>>(
    store: Store,
    message: OutboundMessage<Name, PayloadOf<T, Name>>,
  ): Promise<void>

  /**
   * `publish` for a synchronous SQLite transaction: inserts at once. Call `committed()` after the COMMIT, or let the
   * relay's poll find the messages.
   * @throws PayloadError; ConfigError, also when the topic's schema is asynchronous; UnsupportedError in `store.transaction`
   */
  publishSync<Name extends TopicName<T>>(
    tx: SyncTransaction,
    message: OutboundMessage<Name, PayloadOf<T, Name>>,
  ): Published
  publishSync<Name extends TopicName<T>>(
    tx: SyncTransaction,
    messages: readonly OutboundMessage<Name, PayloadOf<T, Name>>[],
  ): Published[]

  /**
   * Wakes the relays of this process, and with `notify` those of others; for transactions whose COMMIT Holdfast does
   * not see.
   */
  committed(): void

  /**
   * Starts a relay, which hands messages to the broker until it is stopped.
   * @throws ConfigError with every problem of the options; UnsupportedError for `listen` where the database cannot
   */
  relay(options: RelayOptions): Relay

  figures(): Promise<OutboxFigures>
}

/**
 * Makes an outbox on the tables of `store`. Does no I/O.
 * @throws ConfigError with every problem of the options; UnsupportedError for `notify` where the database cannot
 */
export function createOutbox<const T extends Topics = Topics>(
  store: Store,
  options: OutboxOptions<T> = {},
): Outbox<T> {
  checkArguments('createOutbox', isStore(store), isObject('options', options))
  return new StoreOutbox(store, resolveOutboxOptions(options))
}

class StoreOutbox implements Outbox {
  readonly name: string
  readonly #store: Store
  readonly #options: ResolvedOutboxOptions
  readonly #published: Rate
  readonly #relayed: Rate
  readonly #retries: Rate
  readonly #announcer: Announcer | undefined

  constructor(store: Store, options: ResolvedOutboxOptions) {
    this.#store = store
    this.#options = options
    this.name = options.name
    this.#published = new Rate(store.clock)
    this.#relayed = new Rate(store.clock)
    this.#retries = new Rate(store.clock)
    this.#announcer = options.notify ? new Announcer(store, options.name, options.log) : undefined
  }

  async publish(tx: Transaction, message: OutboundMessage): Promise<Published> {
    this.#assertOwn(tx)
    const checked = checkMessage(this.#options, message)
    const row = checked instanceof Promise ? await checked : checked
    tx.beforeCommit(this.#flush, row)
    return { id: row.id }
  }

  async check(store: Store, message: OutboundMessage): Promise<void> {
    this.#assertOwn({ store })
    await checkMessage(this.#options, message)
  }

  publishSync(tx: SyncTransaction, message: OutboundMessage): Published
  publishSync(tx: SyncTransaction, messages: readonly OutboundMessage[]): Published[]
  publishSync(
    tx: SyncTransaction,
    given: OutboundMessage | readonly OutboundMessage[],
  ): Published | Published[] {
    this.#assertOwn(tx)
    if (tx.executeSync === undefined) {
      throw new UnsupportedError(
        'outbox.publishSync is for the synchronous transactions of joinSync: await outbox.publish here',
      )
    }
    const messages = Array.isArray(given) ? (given as readonly OutboundMessage[]) : [given as OutboundMessage]
    const rows = messages.map((message) => {
      const row = checkMessage(this.#options, message)
      if (row instanceof Promise) {
        row.catch(() => {})
        throw new ConfigError('outbox.publishSync', [
          `the schema of "${message.topic}" is asynchronous; use publish`,
        ])
      }
      return row
    })
    const { ready, later } = byTime(rows)
    if (ready.length > 0) tx.executeSync(insertMessages(this.#store, this.name, ready))
    if (later.length > 0) tx.executeSync(insertLater(this.#store, this.name, later))
    this.#published.add(rows.length)
    const published = rows.map(({ id }) => ({ id }))
    return Array.isArray(given) ? published : (published[0] as Published)
  }

  committed(): void {
    this.#wake(undefined)
  }

  relay(options: RelayOptions): Relay {
    return new OutboxRelay(this.#store, this.#options, options, {
      relayed: this.#relayed,
      retries: this.#retries,
    })
  }

  async figures(): Promise<OutboxFigures> {
    const store = this.#store
    return store.transaction(
      async (tx) => {
        const [ready] = await tx.query<{ backlog: unknown; oldest_age_ms: unknown }>(
          readBacklog(store, this.name),
        )
        const [delayed] = await tx.query<{ later: unknown }>(countLater(store, this.name))
        const [dead] = await tx.query<{ dead: unknown }>(countDeadLetters(store, sourceOf(this.name)))
        return {
          name: this.name,
          backlog: Number(ready?.backlog),
          oldestAgeMs: Math.max(0, Number(ready?.oldest_age_ms)),
          later: Number(delayed?.later),
          deadLetters: Number(dead?.dead),
          published: this.#published.total,
          publishedPerSecond: this.#published.perSecond(),
          relayed: this.#relayed.total,
          relayedPerSecond: this.#relayed.perSecond(),
          retries: this.#retries.total,
        }
      },
      { readOnly: true },
    )
  }

  /** One function per outbox, since the transaction groups what is queued by the function it is queued for. */
  readonly #flush: Flush<OutboxRow> = async (tx, rows) => {
    const { dialect } = tx.store
    const { ready, later } = byTime(rows)
    const lockIds = new Set(ready.flatMap((row) => (row.lockId === undefined ? [] : [row.lockId])))
    // Before the sequence numbers are drawn: the next writer of the key draws its own only after our COMMIT.
    if (lockIds.size > 0 && dialect.lockIds !== undefined) await tx.query(dialect.lockIds([...lockIds]))
    const offer = tx.joined ? undefined : offerOfRelays(tx.store, this.name, ready)
    const insertAndLook = offer && insertFirst(tx.store, this.name, ready)
    const insertReady =
      insertAndLook ?? (ready.length > 0 ? insertMessages(tx.store, this.name, ready) : undefined)
    let found: readonly FirstRow[] = []
    const insertDelayed = later.length > 0 ? insertLater(tx.store, this.name, later) : undefined
    if (insertReady !== undefined && insertDelayed !== undefined) await tx.execute(insertDelayed)
    if (tx.joined) {
      this.#published.add(rows.length)
    } else {
      expectAtRelays(tx.store, this.name, ready)
      const partitions = later.length > 0 ? undefined : ready.map((row) => row.partition)
      tx.afterCommit(() => {
        this.#published.add(rows.length)
        const taken = offer?.take(ready, found) ?? false
        if (!taken || later.length > 0) this.#wake(partitions)
      })
    }
    await failpoint('outbox.publish.flushed')
    if (insertAndLook === undefined) return insertReady ?? insertDelayed
    const onRows = (rows: readonly Row[]): void => {
      found = rows as unknown as FirstRow[]
    }
    return { statement: insertAndLook, onRows }
  }

  #wake(partitions: readonly number[] | undefined): void {
    const held = wakeRelays(this.#store, this.name, partitions)
    if (!held) this.#announcer?.announce(partitions)
  }

  #assertOwn(tx: { readonly store: Store }): void {
    if (tx?.store !== this.#store) {
      throw new ConfigError('outbox.publish', [
        tx?.store === undefined
          ? 'the first argument must be the transaction, whose rows the message commits with'
          : 'the transaction belongs to another store than the outbox; a message must commit with the rows it tells about',
      ])
    }
  }
}

function byTime(rows: readonly OutboxRow[]): { ready: readonly OutboxRow[]; later: readonly OutboxRow[] } {
  if (!rows.some((row) => row.delayMs > 0)) return { ready: rows, later: [] }
  return {
    ready: rows.filter((row) => row.delayMs === 0),
    later: rows.filter((row) => row.delayMs > 0),
  }
}
