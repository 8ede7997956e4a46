import type { Log } from '../core/log.ts'
import { checkOptions, isCount, optionsOf } from '../core/options.ts'
import { IdsStoppedError } from './errors.ts'
import { composeRaw, type IdParts, isInstance, splitRaw } from './layout.ts'
import type { HeldInstance, InstanceSource } from './leased-instance.ts'
import { multiplicative } from './multiplicative.ts'
import type { Permutation } from './permutation.ts'
import { type OpenSource, RESERVE_MAX, type SequenceSource } from './source.ts'

export interface PermutedIdsOptions {
  /** A number of 0 to 65 535 that no other generator with the same permutation has, or `leasedInstance(store)`. */
  readonly instance: number | InstanceSource
  /** `fileCounter`, `storeCounter`, `redisCounter` or `etcdCounter`. */
  readonly source: SequenceSource
  /** Default `multiplicative()`, with a warning that its keys are public. */
  readonly permutation?: Permutation
  /** Numbers reserved at a time; a crash skips at most two blocks. Default 4 096. */
  readonly blockSize?: number
  /** True (the default) reserves the next block while the last quarter of one is used. */
  readonly prefetch?: boolean
  /** Where the warning about public keys goes. Default: `process.emitWarning`. */
  readonly log?: Log
}

/** Makes unsigned 64-bit ids. Reversible by whoever has the keys, and no secret: see `Permutation`. */
export interface PermutedIds extends AsyncDisposable {
  /**
   * The next id.
   * @throws IdStateError, IdInUseError, IdExhaustedError, IdsStoppedError, IdCounterError, or an error of the store; no id was used
   */
  next(): Promise<bigint>

  /** The next id if one is reserved, without waiting; else undefined, and `next` will reserve. @throws IdsStoppedError */
  tryNext(): bigint | undefined

  /**
   * Fills the whole array with ids; up to 2^24 at a time. Much faster than one by one: no bigint is made until you read
   * one. For pairs of 32-bit halves look at its `buffer`.
   */
  fill(ids: BigUint64Array): Promise<void>

  /** @throws ConfigError when `id` is no unsigned 64-bit integer */
  decode(id: bigint): IdParts

  /** The id of `parts`, for recipes that keep the sequence as the key and permute at the edge. @throws ConfigError */
  encode(parts: IdParts): bigint

  /** Fires when the lease on the instance number is lost or the generator is closed. */
  readonly signal: AbortSignal

  /** Gives up file and lease. What was reserved and not used is a gap. Twice is fine. */
  close(): Promise<void>
}

/**
 * Ids from a persistent counter through a permutation: unique without a clock, and no one can read the volume off them.
 *
 * Guarantee: no id twice, as far as the source keeps what it has reserved, and as long as no two generators have the
 * same instance, permutation and different sources. Opens its source at the first id.
 * Index: as a primary key they scatter inserts as random ids do. Keep the sequence as the key and `encode` at the edge.
 * @throws ConfigError with every problem of the options
 */
export function permutedIds(options: PermutedIdsOptions): PermutedIds {
  const { instance, source, blockSize = 4096, prefetch = true, log } = optionsOf('permutedIds', options)
  const permutation = options.permutation ?? multiplicative()
  checkOptions(
    'permutedIds',
    options,
    ['instance', 'source', 'permutation', 'blockSize', 'prefetch', 'log'],
    [
      typeof (instance as InstanceSource)?.acquire === 'function' || isInstance('instance', instance),
      typeof source?.open === 'function' || 'source must be a counter, such as fileCounter(path)',
      typeof permutation?.fill === 'function' || 'permutation must be multiplicative(…) or feistel(…)',
      typeof instance === 'number' ||
        source?.shared !== false ||
        'a leased instance needs a counter that all machines share: the next holder goes on where this one was',
      isCount('blockSize', blockSize, 1, RESERVE_MAX),
      typeof prefetch === 'boolean' || 'prefetch must be true or false',
    ],
  )
  if (permutation.warnPublicKeys) warnOfPublicKeys(permutation, log)
  return new Generator({ instance, source, permutation, blockSize, prefetch })
}

const WINDOW = 256
const FILL_MAX = 2 ** 24
const TWO_32 = 2 ** 32

interface Resolved {
  readonly instance: number | InstanceSource
  readonly source: SequenceSource
  readonly permutation: Permutation
  readonly blockSize: number
  readonly prefetch: boolean
}

interface Opened {
  readonly source: OpenSource
  readonly instance: number
  readonly held: HeldInstance | undefined
}

interface Block {
  first: number
  left: number
}

class Generator implements PermutedIds {
  readonly #options: Resolved
  readonly #permutation: Permutation
  readonly #stop = new AbortController()
  /** Ids ready to be handed out one by one, as bigints and, over the same memory, as halves. */
  readonly #window = new BigUint64Array(WINDOW)
  readonly #windowHalves = new Uint32Array(this.#window.buffer)
  #windowAt = 0
  #windowEnd = 0
  #opened: Opened | undefined
  #opening: Promise<Opened> | undefined
  #block: Block = { first: 0, left: 0 }
  #nextBlock: Block | undefined
  #reserving: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(options: Resolved) {
    this.#options = options
    this.#permutation = options.permutation
  }

  get signal(): AbortSignal {
    return this.#stop.signal
  }

  async next(): Promise<bigint> {
    for (;;) {
      const id = this.tryNext()
      if (id !== undefined) return id
      await this.#reserve()
    }
  }

  tryNext(): bigint | undefined {
    if (this.#stop.signal.aborted) this.#refuse()
    if (this.#windowAt === this.#windowEnd && !this.#refill()) return undefined
    return this.#window[this.#windowAt++]
  }

  async fill(ids: BigUint64Array): Promise<void> {
    checkOptions(
      'fill',
      {},
      [],
      [
        ids instanceof BigUint64Array || 'ids must be a BigUint64Array',
        isCount('ids.length', ids?.length, 0, FILL_MAX),
      ],
    )
    const halves = new Uint32Array(ids.buffer, ids.byteOffset, ids.length * 2)
    for (let done = 0; done < ids.length; ) {
      while (!this.#hasBlock()) await this.#reserve(ids.length - done)
      this.#checkHeld()
      done += this.#take(halves, done, ids.length - done)
    }
  }

  decode(id: bigint): IdParts {
    return splitRaw(this.#permutation.decode(id))
  }

  encode(parts: IdParts): bigint {
    return this.#permutation.encode(composeRaw(parts))
  }

  close(): Promise<void> {
    this.#closing ??= this.#close(new IdsStoppedError('the generator was closed'))
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #refuse(): never {
    throw this.#stop.signal.reason
  }

  /** Looks at the clock as well: a process that was asleep must not hand out ids before its timers have fired. */
  #checkHeld(): void {
    if (this.#opened?.held?.isHeld() === false) this.#lose(this.#opened.held.signal.reason)
    if (this.#stop.signal.aborted) this.#refuse()
  }

  #hasBlock(): boolean {
    if (this.#block.left === 0 && this.#nextBlock !== undefined) {
      this.#block = this.#nextBlock
      this.#nextBlock = undefined
    }
    return this.#block.left > 0
  }

  #refill(): boolean {
    if (!this.#hasBlock()) return false
    this.#checkHeld()
    this.#windowAt = 0
    this.#windowEnd = this.#take(this.#windowHalves, 0, WINDOW)
    return true
  }

  /** Writes up to `count` ids of the current block from index `at` on and gives how many. */
  #take(halves: Uint32Array, at: number, count: number): number {
    const block = this.#block
    const taken = Math.min(count, block.left)
    const high = (((this.#opened as Opened).instance << 16) | Math.floor(block.first / TWO_32)) >>> 0
    this.#permutation.fill(halves, 2 * at, taken, high, block.first % TWO_32)
    if (BIG_ENDIAN) swapPairs(halves, 2 * at, taken)
    block.first += taken
    block.left -= taken
    const { blockSize, prefetch } = this.#options
    if (
      prefetch &&
      this.#nextBlock === undefined &&
      block.left * 4 < blockSize &&
      this.#reserving === undefined
    ) {
      this.#reserve().catch(() => {}) // `next` meets the same trouble, and tells
    }
    return taken
  }

  /** One reservation at a time; all who wait share it. */
  #reserve(atLeast = 1): Promise<void> {
    this.#reserving ??= this.#reserveBlock(
      Math.min(RESERVE_MAX, Math.max(this.#options.blockSize, atLeast)),
    ).finally(() => {
      this.#reserving = undefined
    })
    return this.#reserving
  }

  async #reserveBlock(count: number): Promise<void> {
    if (this.#stop.signal.aborted) this.#refuse()
    this.#opening ??= this.#open()
    let opened: Opened
    try {
      opened = await this.#opening
    } catch (error) {
      this.#opening = undefined // a file that another has may be free later
      throw error
    }
    const first = await opened.source.reserve(count)
    this.#checkHeld()
    this.#nextBlock = { first, left: count }
  }

  async #open(): Promise<Opened> {
    const { instance, source } = this.#options
    const held = typeof instance === 'number' ? undefined : await instance.acquire()
    const number = held?.instance ?? (instance as number)
    try {
      const opened = { source: await source.open(number), instance: number, held }
      this.#opened = opened
      held?.signal.addEventListener('abort', () => this.#lose(held.signal.reason), { once: true })
      return opened
    } catch (error) {
      await held?.release()
      throw error
    }
  }

  #lose(cause: unknown): void {
    this.#closing ??= this.#close(
      new IdsStoppedError('the lease on the instance number is lost; make a new generator', { cause }),
    )
  }

  async #close(reason: IdsStoppedError): Promise<void> {
    this.#stop.abort(reason)
    const opened = await this.#opening?.catch(() => undefined)
    await this.#reserving?.catch(() => {})
    await opened?.source.close()
    await opened?.held?.release()
  }
}

const BIG_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 0

/** A BigUint64Array has the machine's order of bytes, and so of halves. */
function swapPairs(halves: Uint32Array, from: number, count: number): void {
  for (let i = from; i < from + 2 * count; i += 2) {
    const low = halves[i] as number
    halves[i] = halves[i + 1] as number
    halves[i + 1] = low
  }
}

let warned = false

function warnOfPublicKeys({ name }: Permutation, log: Log | undefined): void {
  const text = `${name}() uses the keys that every copy of permid64 has, so anyone can decode your ids: pass keys of your own, or ${name}('public') if that is wanted`
  if (log !== undefined) {
    log.warn(text)
  } else if (!warned) {
    warned = true
    process.emitWarning(text, { type: 'HoldfastWarning', code: 'HOLDFAST_PUBLIC_KEYS' })
  }
}
