import { randomUUID } from 'node:crypto'
import type { Broker } from '../broker/index.ts'
import type { ReplicaId } from '../causality/index.ts'
import { type Background, drainMsOf } from '../core/background.ts'
import { deferred } from '../core/deferred.ts'
import { ConfigError, isForPeople } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { checkArguments, isText } from '../core/options.ts'
import { type ConsumerFigures, createInbox } from '../inbox/index.ts'
import type { RelayFigures } from '../outbox/index.ts'
import { requireRevision } from '../store/migrations.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import type { MergeSettings } from './merge-incoming.ts'
import { encodeMessage, topicOf } from './message.ts'
import { prune } from './prune.ts'
import { type PullReport, pull } from './pull.ts'
import type { Replica } from './replica.ts'
import type { ResolvedReplica } from './replica-options.ts'
import { type ResolvedStart, resolveStartOptions, type StartOptions } from './start-options.ts'
import { replicaTables } from './tables.ts'

export interface RunningFigures {
  readonly relay: RelayFigures | undefined
  readonly consumer: ConsumerFigures | undefined
  readonly pulls: number
  readonly pullsFailed: number
}

export interface Running extends Background {
  /** Pulls from the peer now. @throws PeerUnavailableError */
  pull(peer: ReplicaId): Promise<PullReport>
  figures(): RunningFigures
}

export interface RunningParts extends MergeSettings {
  readonly store: Store
  readonly options: ResolvedReplica
  readonly log: Log
  identify(tx: Transaction): Promise<void>
}

/** @throws ConfigError with every problem */
export function startReplica(replica: Replica, given: StartOptions, parts: RunningParts): Running {
  return new RunningReplica(replica, resolveStartOptions(given, parts.options), parts)
}

class RunningReplica implements Running {
  readonly #done = deferred<void>()
  readonly done = this.#done.promise
  readonly #parts: RunningParts
  readonly #given: ResolvedStart
  readonly #stopping = new AbortController()
  readonly #children: Background[] = []
  readonly #figures: { relay?: () => RelayFigures; consumer?: () => ConsumerFigures } = {}
  #pulls = 0
  #pullsFailed = 0
  #loops: Promise<unknown> = Promise.resolve()
  #stopped: Promise<void> | undefined
  #failure: { error: unknown } | undefined

  constructor(replica: Replica, given: ResolvedStart, parts: RunningParts) {
    this.#given = given
    this.#parts = parts
    const { signal } = given
    if (signal?.aborted) void this.stop()
    else {
      signal?.addEventListener('abort', () => void this.stop(), { once: true, signal: this.#stopping.signal })
      this.#loops = this.#run(replica).catch((error: unknown) => this.#end(error))
    }
  }

  async pull(peer: ReplicaId): Promise<PullReport> {
    const { peers, pullTimeoutMs } = this.#given
    checkArguments('replica.pull', isText('peer', peer))
    const link = peers[peer]
    if (link === undefined) throw new ConfigError('replica.pull', [`no link to "${peer}" was given`])
    const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(pullTimeoutMs)])
    try {
      const report = await pull({ ...this.#parts, peer, link, signal })
      this.#pulls++
      return report
    } catch (error) {
      this.#pullsFailed++
      throw error
    }
  }

  figures(): RunningFigures {
    return {
      relay: this.#figures.relay?.(),
      consumer: this.#figures.consumer?.(),
      pulls: this.#pulls,
      pullsFailed: this.#pullsFailed,
    }
  }

  stop(options: { drainMs?: number } = {}): Promise<void> {
    drainMsOf('replica.stop', options, undefined)
    this.#stopped ??= this.#stop(options)
    return this.#stopped
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #run(replica: Replica): Promise<void> {
    const { store } = this.#parts
    await store.transaction(async (tx) => {
      await requireRevision(tx, replicaTables)
      await this.#parts.identify(tx)
    })
    if (this.#stopping.signal.aborted) return
    const { broker, peers, pullEveryMs, pulseEveryMs, pruneEveryMs } = this.#given
    if (broker !== undefined) this.#startMessages(replica, broker)
    await Promise.all([
      ...Object.keys(peers).map((peer) =>
        this.#every(`pull from ${peer}`, pullEveryMs, () => this.pull(peer)),
      ),
      broker && this.#every('pulse', pulseEveryMs, () => this.#pulse(broker)),
      this.#every('prune', pruneEveryMs, () => this.#prune()),
    ])
  }

  #startMessages(replica: Replica, broker: Broker): void {
    const { set, id } = this.#parts.options
    const { concurrency, ttlMs, peers, messageAgeMaxMs } = this.#given
    const { log } = this.#parts
    // Nobody prunes where nobody pulls, and then no message is too old.
    const ageMaxMs = Object.keys(peers).length > 0 ? messageAgeMaxMs : undefined
    const relay = replica.outbox.relay({ broker, ttlMs, log })
    const inbox = createInbox(this.#parts.store, { windowMs: DUPLICATES_MS, payloadLimitBytes: 268_435_456 })
    const consumer = inbox.consumer({
      broker,
      topic: topicOf(set),
      group: `replica/${id}`,
      concurrency,
      ttlMs,
      log,
      handler: (tx, message) => replica.receive(tx, message.payload, { messageAgeMaxMs: ageMaxMs }),
    })
    this.#figures.relay = () => relay.figures()
    this.#figures.consumer = () => consumer.figures()
    for (const child of [consumer, relay]) {
      this.#children.push(child)
      child.done.catch((error: unknown) => this.#end(error))
    }
  }

  /** At once, and then about every `everyMs`. What fails is tried again the next time, unless a person has to act. */
  async #every(name: string, everyMs: number, work: () => Promise<unknown>): Promise<void> {
    const { signal } = this.#stopping
    const { clock } = this.#parts.store
    while (!signal.aborted) {
      try {
        await work()
      } catch (error) {
        if (signal.aborted) return
        if (isForPeople(error)) throw error
        this.#parts.log.warn(`replica: ${name} failed`, { replica: this.#parts.options.id, error })
      }
      // Random, so that members do not ask in step.
      await clock.sleep(everyMs * (0.75 + clock.random() / 2), signal).catch(() => {})
    }
  }

  async #pulse(broker: Broker): Promise<void> {
    const { set, id } = this.#parts.options
    const payload = JSON.stringify(encodeMessage({ kind: 'pulse', from: id }))
    const publishedAtMs = this.#parts.store.clock.now()
    const message = { id: randomUUID(), topic: topicOf(set), key: null, headers: {}, payload, publishedAtMs }
    await broker.publish([message], { signal: this.#stopping.signal })
  }

  #prune(): Promise<unknown> {
    const { messageAgeMaxMs, conflictsKeptMs } = this.#given
    const { store, options } = this.#parts
    return prune(store, options, { messageAgeMaxMs, conflictsKeptMs, signal: this.#stopping.signal })
  }

  async #end(error: unknown): Promise<void> {
    if (this.#stopping.signal.aborted) return
    this.#failure = { error }
    this.#parts.log.error('the replica ended', { replica: this.#parts.options.id, error })
    await this.stop()
  }

  async #stop(options: { drainMs?: number }): Promise<void> {
    this.#stopping.abort(new DOMException('the replica stops', 'AbortError'))
    await Promise.allSettled(this.#children.map((child) => child.stop(options)))
    // Not from within the loops: what ended one of them waits for this.
    if (this.#failure === undefined) await this.#loops
    if (this.#failure === undefined) this.#done.resolve()
    else this.#done.reject(this.#failure.error)
  }
}

/** Merging twice does no harm, so that the inbox's memory only spares work. */
const DUPLICATES_MS = 3_600_000
