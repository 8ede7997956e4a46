import type { ReplicaId } from '../causality/index.ts'
import { ConfigError } from '../core/errors.ts'
import { type Log, silentLog } from '../core/log.ts'
import {
  type Check,
  checkArguments,
  checkOptions,
  isAge,
  isBoolean,
  isFunction,
  isName,
  isObject,
  show,
} from '../core/options.ts'
import { createOutbox, type Outbox } from '../outbox/index.ts'
import { isStore, isStoreOrTransaction, isTransaction } from '../store/arguments.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import { answerPeer } from './answer.ts'
import type { Collections, ValueOf } from './collection.ts'
import { type ConfirmOptions, noteAck, waitForMembers } from './confirm.ts'
import { type Conflict, type ConflictFilter, listConflicts, showConflict } from './conflicts.ts'
import { identify, notePeer } from './members.ts'
import { type Merged, mergeIncoming } from './merge-incoming.ts'
import { decodeMessage, encodeMessage, outboxName, topicOf } from './message.ts'
import { isMergeable, readRecord } from './policy.ts'
import { type Found, type ReadOptions, readHere } from './read.ts'
import type { RecordId } from './record.ts'
import {
  collectionOf,
  type ReplicaOptions,
  type ResolvedReplica,
  resolveReplicaOptions,
} from './replica-options.ts'
import { type Running, startReplica } from './running.ts'
import type { StartOptions } from './start-options.ts'
import { type ReplicaStatus, readStaleness, readStatus, type Staleness } from './status.ts'
import { type Change, type Decide, type WriteOptions, write } from './write.ts'

/** Records kept in several stores, of which this is one. */
// biome-ignore lint/suspicious/noExplicitAny: without a type argument, a replica of any collections is meant
export interface Replica<C extends Collections = any> {
  readonly id: ReplicaId
  readonly members: readonly ReplicaId[]

  /**
   * Writes a record in the caller's transaction, and publishes the change in it. It replaces what the writer has seen:
   * all that this store has, or what `context` says. With a `Mergeable`, it is merged with what is here.
   * @throws StaleContextError, ReplicaBehindError, SiblingsError, PayloadError. All: nothing was written.
   */
  put<Name extends keyof C & string>(
    tx: Transaction,
    collection: Name,
    key: string,
    value: ValueOf<C, Name>,
    options?: WriteOptions,
  ): Promise<Change>

  /**
   * Writes what `change` makes of the record as it reads here (undefined where there is none), under its row lock. A
   * `Mergeable` is handed its empty state in place of undefined.
   */
  update<Name extends keyof C & string>(
    tx: Transaction,
    collection: Name,
    key: string,
    change: (value: ValueOf<C, Name> | undefined) => ValueOf<C, Name> | Promise<ValueOf<C, Name>>,
    options?: Omit<WriteOptions, 'context' | 'onStale'>,
  ): Promise<Change>

  /** Removes what the writer has seen of the record. Undefined where there is nothing to remove. */
  delete<Name extends keyof C & string>(
    tx: Transaction,
    collection: Name,
    key: string,
    options?: WriteOptions,
  ): Promise<Change | undefined>

  /**
   * Reads a record as this store has it, with the context that the next write needs.
   * @throws ReplicaBehindError when `atLeast` has not come here within `waitMs`; MergeFunctionError
   */
  get<Name extends keyof C & string>(
    on: Store | Transaction,
    collection: Name,
    key: string,
    options?: ReadOptions,
  ): Promise<Found<ValueOf<C, Name>>>

  /**
   * Waits, after the COMMIT, until that many members are known to have the change. Ask with `confirm: true` in the
   * write, or it is known only from the next pull.
   * @throws NotConfirmedError, outcome `unknown`: the write stands here, and may still reach the others
   */
  confirmed(change: Change, options: ConfirmOptions): Promise<readonly ReplicaId[]>

  /**
   * Takes one message of a member in the caller's transaction. `start` does it for what a broker brings; merging twice
   * does no harm. `messageAgeMaxMs` as in `start`.
   * @throws PayloadError, ClockDriftError: not merged
   */
  receive(
    tx: Transaction,
    payload: unknown,
    options?: { readonly messageAgeMaxMs?: number | undefined },
  ): Promise<Merged | undefined>

  /** Answers a question of a peer that catches up: mount it behind your own authentication. JSON in, JSON out. */
  answer(question: unknown): Promise<object>

  /** Starts to send, receive, catch up and prune, until it is stopped. */
  start(options: StartOptions): Running

  /** How old what is read here may be. One statement, so that it can go with each answer. */
  staleness(): Promise<Staleness>
  /** The same, with counts and what waits to be sent. */
  status(): Promise<ReplicaStatus>
  conflicts(filter?: ConflictFilter): Promise<Conflict[]>
  conflict(id: string): Promise<Conflict | undefined>

  /** The outbox that carries the changes; `start` runs a relay of it. */
  readonly outbox: Outbox
}

/**
 * Makes the replica of this store. Does no I/O.
 * @throws ConfigError with every problem
 */
export function createReplica<const C extends Collections>(
  store: Store,
  options: ReplicaOptions<C> & { readonly log?: Log },
): Replica<C> {
  checkArguments('createReplica', isStore(store), isObject('options', options))
  const { log = silentLog, ...given } = options
  return new StoreReplica(store, resolveReplicaOptions(given), log) as unknown as Replica<C>
}

class StoreReplica implements Replica {
  readonly id: ReplicaId
  readonly members: readonly ReplicaId[]
  readonly outbox: Outbox
  readonly #store: Store
  readonly #options: ResolvedReplica
  readonly #log: Log
  #identified = false

  constructor(store: Store, options: ResolvedReplica, log: Log) {
    this.#store = store
    this.#options = options
    this.#log = log
    this.id = options.id
    this.members = options.members
    this.outbox = createOutbox(store, {
      name: outboxName(options.set),
      // Several versions of the largest value, with their contexts.
      payloadLimitBytes: 32 * options.valueLimitBytes + 1_048_576,
    })
  }

  async put(
    tx: Transaction,
    name: string,
    key: string,
    value: unknown,
    options: WriteOptions = {},
  ): Promise<Change> {
    if (value === undefined) throw new ConfigError('replica.put', ['value is undefined; use delete'])
    return (await this.#write(tx, 'replica.put', { collection: name, key }, options, () => ({
      value,
    }))) as Change
  }

  async update(
    tx: Transaction,
    name: string,
    key: string,
    change: (value: never) => unknown,
    options: Omit<WriteOptions, 'context' | 'onStale'> = {},
  ): Promise<Change> {
    const { merge } = collectionOf(this.#options, name)
    checkArguments('replica.update', isFunction('the change', change))
    const decide: Decide = async (here) => {
      const { value = isMergeable(merge) ? merge.empty : undefined } = readRecord(here, merge)
      const next = await change(value as never)
      if (next === undefined)
        throw new ConfigError('replica.update', ['the change gave undefined; use delete'])
      return { value: next }
    }
    return (await this.#write(tx, 'replica.update', { collection: name, key }, options, decide)) as Change
  }

  async delete(
    tx: Transaction,
    name: string,
    key: string,
    options: WriteOptions = {},
  ): Promise<Change | undefined> {
    return this.#write(tx, 'replica.delete', { collection: name, key }, options, (here) =>
      here.alive.some((dot) => !('deleted' in dot.value)) ? { value: undefined } : undefined,
    )
  }

  async #write(
    tx: Transaction,
    subject: string,
    record: RecordId,
    given: WriteOptions,
    decide: Decide,
  ): Promise<Change | undefined> {
    checkArguments(subject, isTransaction(tx), isObject('options', given))
    this.#check(subject, record, tx.store, given, [
      given.context === undefined || typeof given.context === 'string' || 'context must be a text',
      given.confirm === undefined || isBoolean('confirm', given.confirm),
      given.onStale === undefined ||
        ['refuse', 'sibling'].includes(given.onStale) ||
        `onStale must be refuse or sibling, got ${show(given.onStale)}`,
    ])
    const collection = collectionOf(this.#options, record.collection)
    await this.#identify(tx)
    return write({ options: this.#options, outbox: this.outbox }, tx, { collection, record, given }, decide)
  }

  async get(
    on: Store | Transaction,
    name: string,
    key: string,
    options: ReadOptions = {},
  ): Promise<Found<never>> {
    const record = { collection: name, key }
    checkArguments('replica.get', isStoreOrTransaction(on), isObject('options', options))
    this.#check('replica.get', record, 'store' in on ? on.store : on, {}, [])
    const found = await readHere(
      on,
      { id: this.id, record, collection: collectionOf(this.#options, name) },
      options,
    )
    return found as Found<never> // the interface says what the collection's values are
  }

  async confirmed(change: Change, options: ConfirmOptions): Promise<readonly ReplicaId[]> {
    return waitForMembers(this.#store, this.#options, change, options)
  }

  async receive(
    tx: Transaction,
    payload: unknown,
    options: { readonly messageAgeMaxMs?: number | undefined } = {},
  ): Promise<Merged | undefined> {
    checkArguments('replica.receive', isTransaction(tx), isObject('options', options))
    const { messageAgeMaxMs } = options
    checkOptions(
      'replica.receive',
      options,
      ['messageAgeMaxMs'],
      [messageAgeMaxMs === undefined || isAge('messageAgeMaxMs', messageAgeMaxMs)],
    )
    const message = decodeMessage(payload)
    const { from } = message
    if (from === this.id) return undefined
    await this.#identify(tx)
    if (message.kind === 'pulse') {
      await notePeer(tx, { replica: from, instant: 'heard_at_ms' })
      return undefined
    }
    if (message.kind === 'ack') {
      if (message.to === this.id) await noteAck(tx, { change: message.change, replica: from })
      return undefined
    }
    const { collection, key, state, at, ack } = message
    const merged = await mergeIncoming({ options: this.#options, onForgotten: this.#onForgotten }, tx, {
      record: { collection, key },
      state,
      ...(messageAgeMaxMs !== undefined && { oldest: { at, ageMaxMs: messageAgeMaxMs } }),
    })
    if (ack !== undefined && merged.kind !== 'too-old') {
      await this.outbox.publish(tx, {
        topic: topicOf(this.#options.set),
        payload: encodeMessage({ kind: 'ack', from: this.id, change: ack, to: from }),
      })
    }
    return merged
  }

  answer(question: unknown): Promise<object> {
    return answerPeer(this.#store, this.#options, question)
  }

  start(options: StartOptions): Running {
    checkArguments('replica.start', isObject('options', options))
    return startReplica(this, options, {
      store: this.#store,
      options: this.#options,
      log: options.log ?? this.#log,
      onForgotten: this.#onForgotten,
      identify: (tx) => this.#identify(tx),
    })
  }

  staleness(): Promise<Staleness> {
    return readStaleness(this.#store, this.#options)
  }

  status(): Promise<ReplicaStatus> {
    return readStatus(this.#store, { id: this.id, members: this.members, outbox: this.outbox })
  }

  conflicts(filter?: ConflictFilter): Promise<Conflict[]> {
    return listConflicts(this.#store, filter)
  }

  conflict(id: string): Promise<Conflict | undefined> {
    return showConflict(this.#store, id)
  }

  async #identify(tx: Transaction): Promise<void> {
    if (!this.#identified) this.#identified = await identify(tx, this.id)
  }

  readonly #onForgotten = ({ collection }: RecordId): void => {
    this.#log.error(
      'a member has writes of this replica that its store does not have: was it restored from a backup? Give it a new id',
      { replica: this.id, collection },
    )
  }

  #check(subject: string, { key }: RecordId, store: Store, given: object, checks: readonly Check[]): void {
    checkOptions(
      subject,
      given,
      ['context', 'confirm', 'onStale'],
      [
        store === this.#store || 'the transaction belongs to another store than the replica',
        isName('key', key),
        ...checks,
      ],
    )
  }
}
