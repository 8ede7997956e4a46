import { orAbort } from '../../core/abort.ts'
import { isHoldfastError } from '../../core/errors.ts'
import { fence } from '../../fence/fence.ts'
import type { Store } from '../../store/store.ts'
import type { OwnTransaction } from '../../store/transaction.ts'
import type { Message, Publisher, PublishResult } from '../broker.ts'
import { checkMessage } from '../check.ts'
import { BrokerUnavailableError, MessageNotSentError, MessageRefusedError } from '../errors.ts'
import { partitionOfMessage } from '../partition.ts'
import { append, PartitionGoneError, type Placed } from './append.ts'
import type { Topics } from './topics.ts'

/** Bounds of one transaction of a batch. */
const CHUNK_MESSAGES = 1_000
const CHUNK_CHARACTERS = 8 * 1024 * 1024

interface Target {
  readonly store: Store
  readonly topics: Topics
  readonly partitions: number
  readonly source: string | undefined
  readonly timeoutMs: number
}

interface PublishCall {
  readonly signal: AbortSignal
  readonly publisher?: Publisher
  /** Before the COMMIT that makes these ends visible, and after it. */
  readonly onStoring: (ends: ReadonlyMap<bigint, bigint>) => void
  readonly onStored: (ends: ReadonlyMap<bigint, bigint>) => void
}

/** `publish` of the store queue: the whole batch in one transaction, or in a few where it is large. */
export async function publishBatch(
  target: Target,
  batch: readonly Message[],
  call: PublishCall,
): Promise<readonly PublishResult[]> {
  call.signal.throwIfAborted()
  const results: (PublishResult | undefined)[] = batch.map(() => undefined)
  const stopped = new StoppedKeys()
  const deadline = target.store.clock.monotonic() + target.timeoutMs
  let ended: unknown

  const accepted: number[] = []
  batch.forEach((message, i) => {
    const check = checkMessage(message)
    if (check !== true) {
      results[i] = { kind: 'refused', error: new MessageRefusedError('store-queue', check) }
      stopped.add(message, i)
    } else {
      accepted.push(i)
    }
  })
  for (const chunk of chunks(batch, accepted)) {
    if (ended !== undefined) break
    await storeChunk(chunk)
  }
  if (ended !== undefined && !results.some((r) => r?.kind === 'stored' || r?.kind === 'unknown')) {
    throw asRejection(ended, call.signal)
  }
  const untried: PublishResult = {
    kind: 'unknown',
    error: ended ?? new MessageNotSentError(),
  }
  return results.map((result) => result ?? untried)

  /** Bisects down to the message that the database will not take, and keeps the order while doing so. */
  async function storeChunk(indexes: readonly number[]): Promise<void> {
    const wanted = indexes.filter((i) => !stopped.isBefore(batch[i] as Message, i))
    if (wanted.length === 0 || ended !== undefined) return
    try {
      call.onStored(await store(wanted.map((i) => batch[i] as Message)))
      for (const i of wanted) results[i] = STORED
    } catch (error) {
      if (!isAboutAValue(error)) {
        ended = error
        if (isHoldfastError(error) && error.outcome !== 'not-applied')
          for (const i of wanted) results[i] = { kind: 'unknown', error }
        return
      }
      const [only] = wanted
      if (wanted.length === 1 && only !== undefined) {
        results[only] = {
          kind: 'refused',
          error: new MessageRefusedError('store-queue', 'the database does not take it', { cause: error }),
        }
        stopped.add(batch[only] as Message, only)
        return
      }
      const half = Math.ceil(wanted.length / 2)
      await storeChunk(wanted.slice(0, half))
      await storeChunk(wanted.slice(half))
    }
  }

  async function store(messages: readonly Message[]): Promise<ReadonlyMap<bigint, bigint>> {
    const placed: Placed[] = []
    for (const message of messages) {
      const ids = await orAbort(target.topics.ids(message.topic), call.signal)
      const partitionId = ids[partitionOfMessage(message, target.partitions)] as bigint
      placed.push({ partitionId, message })
    }
    const timeoutMs = Math.max(1, deadline - target.store.clock.monotonic())
    try {
      const appendFenced = async (tx: OwnTransaction) => {
        if (target.source !== undefined && call.publisher)
          await presentEpoch(tx, target.source, call.publisher)
        const ends = await append(tx, placed)
        call.onStoring(ends)
        return ends
      }
      return await target.store.transaction(appendFenced, {
        // Others' appends that were committed while this one waited for the row must be seen.
        isolation: 'read-committed',
        timeoutMs,
        signal: call.signal,
      })
    } catch (error) {
      if (error instanceof PartitionGoneError) target.topics.forget()
      throw error
    }
  }
}

/**
 * The epoch of the relay's lease is its fencing token. An epoch belongs to one holder for ever, so the name of the
 * source stands for the holder.
 */
function presentEpoch(
  tx: OwnTransaction,
  source: string,
  { scope, partition, epoch }: Publisher,
): Promise<void> {
  return fence(tx, { resource: `relay/${source}/${scope}/${partition}`, token: epoch, holder: source })
}

const STORED: PublishResult = { kind: 'stored' }

/** Nothing of the batch was stored. */
function asRejection(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted && error === signal.reason) return error
  const code = (error as { code?: string }).code
  if (code !== undefined && OPERATOR_CODES.has(code)) return error
  return new BrokerUnavailableError('store-queue', { cause: error })
}

/** Errors that a person has to put right, and a publisher that has been replaced: said as they are. */
const OPERATOR_CODES: ReadonlySet<string> = new Set(['CONFIG_INVALID', 'SCHEMA_REVISION', 'STALE_FENCE'])

/** SQLSTATE class 22 (data exception) and 54 (limit exceeded), SQLITE_TOOBIG: this row, not the database. */
function isAboutAValue(error: unknown): boolean {
  const { code, sqlState } = error as { code?: string; sqlState?: string }
  return code === 'STATEMENT_FAILED' && /^(22|54|SQLITE_TOOBIG|SQLITE_18$)/.test(sqlState ?? '')
}

/** For each key, the first message that was not stored: no later one of the batch may be, of whatever topic. */
class StoppedKeys {
  readonly #first = new Map<string, number>()

  add({ key }: Message, index: number): void {
    if (key !== null) this.#first.set(key, Math.min(index, this.#first.get(key) ?? index))
  }

  isBefore({ key }: Message, index: number): boolean {
    return key !== null && (this.#first.get(key) ?? index) < index
  }
}

function* chunks(batch: readonly Message[], indexes: readonly number[]): Generator<number[]> {
  let chunk: number[] = []
  let characters = 0
  for (const i of indexes) {
    const size = batch[i]?.payload.length ?? 0
    if (chunk.length > 0 && (chunk.length >= CHUNK_MESSAGES || characters + size > CHUNK_CHARACTERS)) {
      yield chunk
      chunk = []
      characters = 0
    }
    chunk.push(i)
    characters += size
  }
  if (chunk.length > 0) yield chunk
}
