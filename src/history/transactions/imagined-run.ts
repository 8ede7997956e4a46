// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import { realTimeEdges, sessionEdges } from './dependencies.ts'
import { Edges, RW } from './graph.ts'
import { NIL, type TransactionHistory } from './history.ts'
import type { Reads } from './reads.ts'
import type { Versions } from './versions.ts'

export interface ImaginedRunInput {
  readonly history: TransactionHistory
  readonly reads: Reads
  readonly versions: Versions
  /** What is certain. */
  readonly edges: Edges
  /** Transactions, then nodes that stand for instants and keys. */
  readonly nodes: number
  /** True runs transactions on snapshots, the first committer winning; false one after the other. */
  readonly snapshots: boolean
  /** When each transaction likely took effect. */
  readonly rank: Float64Array
  expired(): boolean
}

/** Looks at an event that a search may cost: per event, and in all. */
const LOOKS_PER_EVENT = 2_000
const LOOKS_MAX = 100_000_000
/** States that are remembered as leading nowhere. */
const FAILED_MAX = 500_000

/**
 * Runs the transactions on an imagined database, in the order of their sessions and of real time: each when what it read
 * is what is there, and no version is replaced that somebody has still to read. Of those that could run next the likely
 * order decides, and a choice that leads nowhere is taken back (the search of Wing and Gong, 1993, with Lowe's memory).
 *
 * The order in which a run that came to its end wrote is a good guess at the order of versions. It is a guess, so the
 * caller verifies it, and `undefined` proves nothing: real time and sessions need not count at the level that is asked.
 * Answers for each transaction the moment at which it wrote. Cost: linear where few transactions were under way at once.
 */
export function imaginedRun(input: ImaginedRunInput): Int32Array | undefined {
  return new Stage(input).search()
}

interface ChoicePoint {
  readonly done: number
  readonly options: readonly number[]
  next: number
  readonly state: string
}

/**
 * Events are the transactions and nodes, or with snapshots the beginnings (their numbers) and ends (those plus `#nodes`)
 * of transactions.
 */
class Stage {
  readonly #input: ImaginedRunInput
  readonly #nodes: number
  readonly #events: number
  /** What is certain between events, grouped by where it begins, and how many come before each. */
  readonly #start: Int32Array
  readonly #to: Int32Array
  readonly #before: Int32Array
  /** Per transaction, on open keys: what it reads and what it writes. Versions are writes, or `writes + key` at first. */
  readonly #readsOf: readonly (readonly number[])[]
  readonly #writesOf: readonly (readonly number[])[]
  readonly #keyOf: Int32Array
  readonly #toRead: Int32Array
  /** Events that hold nobody up: nobody else has to see what they write. */
  readonly #safe: Uint8Array
  readonly #current: Int32Array
  readonly #gone: Uint8Array
  readonly #claimedBy: Int32Array
  /** Events that could be next by what is certain, and where each stands among them. */
  readonly #front: number[] = []
  readonly #place: Int32Array
  readonly #done: number[] = []
  readonly #replaced: number[] = []
  #looks = 0
  #hash = 0
  #hash2 = 0

  constructor(input: ImaginedRunInput) {
    this.#input = input
    const { history: h, reads, versions, snapshots } = input
    const ops = reads.source.length
    const edges = new Edges()
    for (let e = 0; e < input.edges.length; e++) {
      edges.add(input.edges.from.at(e), input.edges.to.at(e), input.edges.kind.at(e), -1)
    }
    sessionEdges(h, reads.committed, edges)
    this.#nodes = input.nodes + realTimeEdges(h, reads.committed, edges, input.nodes)
    // Only transactions have an end of their own.
    this.#events = this.#nodes + (snapshots ? h.transactions : 0)
    const isOpen = new Uint8Array(h.keys)
    for (const { key } of versions.open) isOpen[key] = 1
    const readsOf: number[][] = Array.from({ length: this.#nodes }, () => [])
    const writesOf: number[][] = Array.from({ length: this.#nodes }, () => [])
    this.#toRead = new Int32Array(ops + h.keys)
    this.#keyOf = new Int32Array(ops + h.keys)
    this.#current = Int32Array.from({ length: h.keys }, (_, key) => ops + key)
    this.#gone = new Uint8Array(ops + h.keys)
    this.#claimedBy = new Int32Array(h.keys).fill(-1)
    for (let key = 0; key < h.keys; key++) this.#keyOf[ops + key] = key
    for (let op = 0; op < ops; op++) {
      const key = h.key[op] as number
      this.#keyOf[op] = key
      if (isOpen[key] === 0) continue
      const t = reads.transactionOf[op] as number
      if (reads.installed[op] === 1) writesOf[t]!.push(op)
      const seen = reads.source[op] as number
      if (seen < NIL || reads.committed[t] === 0) continue
      const version = seen === NIL ? ops + key : seen
      if (readsOf[t]!.includes(version)) continue
      readsOf[t]!.push(version)
      this.#toRead[version]! += 1
    }
    this.#readsOf = readsOf
    this.#writesOf = writesOf
    this.#safe = Uint8Array.from({ length: this.#events }, (_, event) => {
      const writes = writesOf[event % this.#nodes]!
      const holdsUp =
        snapshots && event < this.#nodes ? writes.length > 0 : writes.some((w) => this.#toRead[w]! > 0)
      return holdsUp ? 0 : 1
    })
    ;[this.#start, this.#to, this.#before] = this.#arcs(edges)
    this.#place = new Int32Array(this.#events).fill(-1)
    for (let event = 0; event < this.#events; event++) if (this.#before[event] === 0) this.#enter(event)
  }

  /** Who saw or replaced begins after the other's end; who did not see begins before it. */
  #arcs(edges: Edges): [Int32Array, Int32Array, Int32Array] {
    const { snapshots, history: h } = this.#input
    const end = (u: number): number => (snapshots && u < h.transactions ? u + this.#nodes : u)
    const pairs: number[] = []
    if (snapshots) for (let t = 0; t < h.transactions; t++) pairs.push(t, t + this.#nodes)
    for (let e = 0; e < edges.length; e++) {
      const [u, v] = [edges.from.at(e), edges.to.at(e)]
      if (edges.kind.at(e) === RW) pairs.push(u, end(v))
      else pairs.push(end(u), v)
    }
    const start = new Int32Array(this.#events + 1)
    const before = new Int32Array(this.#events)
    for (let i = 0; i < pairs.length; i += 2) {
      start[(pairs[i] as number) + 1]! += 1
      before[pairs[i + 1] as number]! += 1
    }
    for (let u = 0; u < this.#events; u++) start[u + 1]! += start[u] as number
    const place = start.slice(0, this.#events)
    const to = new Int32Array(pairs.length / 2)
    for (let i = 0; i < pairs.length; i += 2) to[place[pairs[i] as number]!++] = pairs[i + 1] as number
    return [start, to, before]
  }

  search(): Int32Array | undefined {
    const choices: ChoicePoint[] = []
    const failed = new Set<string>()
    const looksMax = Math.min(LOOKS_MAX, LOOKS_PER_EVENT * this.#events)
    for (let steps = 0; this.#done.length < this.#events; steps++) {
      if (this.#looks > looksMax || ((steps & 1023) === 0 && this.#input.expired())) return undefined
      const options = this.#options()
      if (options.length === 1 && this.#safe[options[0] as number] === 1) {
        this.#do(options[0] as number)
        continue
      }
      const state = `${this.#hash} ${this.#hash2}`
      if (options.length > 0 && !failed.has(state)) {
        choices.push({ done: this.#done.length, options, next: 1, state })
        this.#do(options[0] as number)
        continue
      }
      for (;;) {
        const choice = choices.at(-1)
        if (choice === undefined) return undefined
        while (this.#done.length > choice.done) this.#undo()
        const option = choice.options[choice.next++]
        if (option !== undefined) {
          this.#do(option)
          break
        }
        if (failed.size < FAILED_MAX) failed.add(choice.state)
        choices.pop()
      }
    }
    const moments = new Int32Array(this.#input.history.transactions)
    this.#done.forEach((event, moment) => {
      const t = event % this.#nodes
      // Of the beginning and the end of a transaction the end counts, and comes later.
      if (t < moments.length) moments[t] = moment
    })
    return moments
  }

  /** What could run now: one event that holds nobody up, else all, the likeliest first. None when the run is lost. */
  #options(): number[] {
    const options: number[] = []
    for (const event of this.#front) {
      this.#looks++
      const t = event % this.#nodes
      if (event < this.#nodes) {
        const missing = this.#readsOf[t]!.find((v) => this.#current[this.#keyOf[v]!] !== v)
        if (missing !== undefined) {
          if (this.#gone[missing] === 1) return []
          continue
        }
      }
      if (!this.#writesOf[t]!.every((w) => this.#isFree(this.#keyOf[w]!, event))) continue
      if (this.#safe[event] === 1) return [event]
      options.push(event)
    }
    const { rank } = this.#input
    return options.sort((a, b) => rank[a % this.#nodes]! - rank[b % this.#nodes]! || a - b)
  }

  /** Whether the event may write the key, or with snapshots claim it at its beginning. */
  #isFree(key: number, event: number): boolean {
    const t = event % this.#nodes
    const claim = this.#claimedBy[key]!
    if (claim !== -1 && claim !== t) return false
    if (this.#input.snapshots && event < this.#nodes) return true
    const version = this.#current[key]!
    const own = !this.#input.snapshots && this.#readsOf[t]!.includes(version) ? 1 : 0
    return this.#toRead[version]! <= own
  }

  #do(event: number): void {
    this.#leave(event)
    this.#done.push(event)
    this.#step(event, -1)
    for (let k = this.#start[event] as number; k < (this.#start[event + 1] as number); k++) {
      const next = this.#to[k] as number
      if (--this.#before[next]! === 0) this.#enter(next)
    }
  }

  #undo(): void {
    const event = this.#done.pop() as number
    for (let k = this.#start[event] as number; k < (this.#start[event + 1] as number); k++) {
      const next = this.#to[k] as number
      if (this.#before[next]!++ === 0) this.#leave(next)
    }
    this.#step(event, 1)
    this.#enter(event)
  }

  /** What an event does to the database, or with `by` 1 undoes. */
  #step(event: number, by: 1 | -1): void {
    const t = event % this.#nodes
    const { snapshots } = this.#input
    this.#mix(event)
    if (event < this.#nodes) {
      for (const version of this.#readsOf[t]!) this.#toRead[version]! += by
      if (snapshots)
        for (const write of this.#writesOf[t]!) this.#claimedBy[this.#keyOf[write]!] = by === -1 ? t : -1
      if (snapshots) return
    }
    const writes = this.#writesOf[t]!
    if (by === -1) for (const write of writes) this.#install(write, snapshots)
    else for (let i = writes.length - 1; i >= 0; i--) this.#restore(writes[i] as number, snapshots ? t : -1)
  }

  #install(write: number, snapshots: boolean): void {
    const key = this.#keyOf[write]!
    const old = this.#current[key]!
    this.#replaced.push(old)
    this.#gone[old] = 1
    this.#current[key] = write
    this.#mix(this.#events + old)
    this.#mix(this.#events + write)
    if (snapshots) this.#claimedBy[key] = -1
  }

  #restore(write: number, claim: number): void {
    const key = this.#keyOf[write]!
    const old = this.#replaced.pop() as number
    this.#gone[old] = 0
    this.#current[key] = old
    this.#mix(this.#events + old)
    this.#mix(this.#events + write)
    this.#claimedBy[key] = claim
  }

  /** Puts a number in or out of what tells states apart; two states with the same mark only cost a guess. */
  #mix(n: number): void {
    this.#hash ^= scrambled(n)
    this.#hash2 ^= scrambled(n ^ 0x5bd1e995)
  }

  #enter(event: number): void {
    this.#place[event] = this.#front.length
    this.#front.push(event)
  }

  #leave(event: number): void {
    const at = this.#place[event]!
    const last = this.#front.pop() as number
    if (last !== event) {
      this.#front[at] = last
      this.#place[last] = at
    }
    this.#place[event] = -1
  }
}

/** Spreads a number over 32 bits (the finalizer of MurmurHash3). */
function scrambled(n: number): number {
  let x = n
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return x ^ (x >>> 16)
}
