import { decodeVector, type ReplicaId, type VersionVector } from '../causality/index.ts'
import { PayloadError } from '../core/errors.ts'
import { isName } from '../core/options.ts'
import { decodeState } from './message.ts'
import { BUCKETS, type RecordId, type RecordState } from './record.ts'

/**
 * How one member asks another, beside the broker: JSON there and JSON back. `httpPeer` is one; a function call within a
 * process, or a queue with answers, may be another.
 */
export interface PeerLink {
  ask(question: PeerQuestion, options: { readonly signal: AbortSignal }): Promise<unknown>
}

/** One question of a pull, in the order in which they are asked. */
export type PeerQuestion =
  | { readonly v: 1; readonly set: string; readonly from: ReplicaId; readonly ask: 'sums' }
  | {
      readonly v: 1
      readonly set: string
      readonly from: ReplicaId
      readonly ask: 'vectors'
      readonly bucket: number
      /** The last record of the page before. */
      readonly after?: readonly [string, string]
    }
  | {
      readonly v: 1
      readonly set: string
      readonly from: ReplicaId
      readonly ask: 'states'
      readonly records: readonly (readonly [string, string])[]
    }
  /** The asker has merged all that the sums of `atMs` stood for. */
  | {
      readonly v: 1
      readonly set: string
      readonly from: ReplicaId
      readonly ask: 'pulled'
      readonly atMs: number
    }

/** How many records there are in each bucket, and the sum of their digests. */
export type Sums = readonly string[]

export interface SumsAnswer {
  readonly replica: ReplicaId
  /** When they were read, on the answering store's clock. */
  readonly atMs: number
  readonly sums: Sums
}

export interface VectorsAnswer {
  readonly records: readonly (RecordId & { readonly context: VersionVector; readonly dead: boolean })[]
  readonly more: boolean
}

export interface StatesAnswer {
  /** Maybe fewer than were asked for; the rest is asked for again. Records that are gone are left out. */
  readonly states: readonly (RecordId & { readonly state: RecordState })[]
  /** How many of the records asked for this answers, from the first. */
  readonly answered: number
}

/** Each record once in a question, at most so many. */
export const STATES_MAX = 100

/** @throws PayloadError */
export function decodeQuestion(json: unknown): PeerQuestion {
  const question = Object(json) as Record<string, unknown>
  if (question.v !== 1) throw malformed('$.v', 'this version of Holdfast reads 1')
  for (const name of ['set', 'from']) {
    const checked = isName(name, question[name], 60)
    if (checked !== true) throw malformed(`$.${name}`, checked)
  }
  switch (question.ask) {
    case 'sums':
      break
    case 'vectors':
      if (!isWhole(question.bucket) || (question.bucket as number) >= BUCKETS)
        throw malformed('$.bucket', `must be a whole number below ${BUCKETS}`)
      if (question.after !== undefined && !isPair(question.after))
        throw malformed('$.after', 'must be a collection and a key')
      break
    case 'states': {
      const records = question.records
      if (!Array.isArray(records) || records.length > STATES_MAX || !records.every(isPair))
        throw malformed('$.records', `must be at most ${STATES_MAX} pairs of a collection and a key`)
      break
    }
    case 'pulled':
      if (!isWhole(question.atMs)) throw malformed('$.atMs', 'must be a whole number')
      break
    default:
      throw malformed('$.ask', 'must be sums, vectors, states or pulled')
  }
  return question as unknown as PeerQuestion
}

/** @throws PayloadError */
export function decodeSums(json: unknown): SumsAnswer {
  const { replica, atMs, sums } = Object(json) as Record<string, unknown>
  if (isName('replica', replica, 60) !== true) throw malformed('$.replica', 'must be a name')
  if (!isWhole(atMs)) throw malformed('$.atMs', 'must be a whole number')
  if (!Array.isArray(sums) || sums.length !== BUCKETS || !sums.every((sum) => typeof sum === 'string'))
    throw malformed('$.sums', `must be ${BUCKETS} texts`)
  return { replica: replica as string, atMs: atMs as number, sums }
}

/** @throws PayloadError */
export function decodeVectors(json: unknown): VectorsAnswer {
  const { records, more } = Object(json) as Record<string, unknown>
  if (!Array.isArray(records)) throw malformed('$.records', 'must be a list')
  return {
    records: records.map((entry, i) => {
      const [collection, key, vector, dead] = Array.isArray(entry) ? entry : []
      if (!isPair([collection, key]))
        throw malformed(`$.records[${i}]`, 'must begin with a collection and a key')
      return { collection, key, context: decodeVector(vector), dead: dead === 1 }
    }),
    more: more === true,
  }
}

/** @throws PayloadError */
export function decodeStates(json: unknown): StatesAnswer {
  const { states, answered } = Object(json) as Record<string, unknown>
  if (!Array.isArray(states)) throw malformed('$.states', 'must be a list')
  if (!isWhole(answered) || answered === 0) throw malformed('$.answered', 'must be a whole number above 0')
  return {
    states: states.map((entry, i) => {
      const [collection, key, state] = Array.isArray(entry) ? entry : []
      if (!isPair([collection, key]))
        throw malformed(`$.states[${i}]`, 'must begin with a collection and a key')
      return { collection, key, state: decodeState(state) }
    }),
    answered: answered as number,
  }
}

function isPair(value: unknown): value is readonly [string, string] {
  return (
    Array.isArray(value) &&
    value.length === 2 &&
    isName('collection', value[0], 100) === true &&
    isName('key', value[1]) === true
  )
}

function isWhole(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function malformed(path: string, message: string): PayloadError {
  return new PayloadError('question or answer of a peer', [{ path, message }])
}
