import { decodeStamp, encodeStamp, type ReplicaId, type Stamp } from '../causality/index.ts'
import { PayloadError } from '../core/errors.ts'
import { isName } from '../core/options.ts'
import { type RecordId, type RecordState, recordState } from './record.ts'

/** What members send one another on the topic of their set. */
export type ReplicaMessage =
  | ({
      readonly kind: 'change'
      readonly from: ReplicaId
      /** When it was written, on the hybrid clock of `from`. */
      readonly at: Stamp
      readonly state: RecordState
      /** The change asks each member to say that it has merged it. */
      readonly ack: string | undefined
    } & RecordId)
  | { readonly kind: 'ack'; readonly from: ReplicaId; readonly change: string; readonly to: ReplicaId }
  | { readonly kind: 'pulse'; readonly from: ReplicaId }

export function topicOf(set: string): string {
  return `replica.${set}`
}

/** Of the outbox that carries the changes of a set. */
export function outboxName(set: string): string {
  return set === 'default' ? 'replica' : `replica.${set}`
}

export function encodeMessage(message: ReplicaMessage): object {
  if (message.kind !== 'change') return { v: 1, ...message }
  const { kind, from, at, collection, key, state, ack } = message
  return {
    v: 1,
    kind,
    from,
    at: encodeStamp(at),
    collection,
    key,
    state: recordState.encode(state),
    ...(ack !== undefined && { ack }),
  }
}

/** Members that are not known are ignored: a newer version may add them. @throws PayloadError */
export function decodeMessage(json: unknown): ReplicaMessage {
  const message = Object(json) as Record<string, unknown>
  if (message.v !== 1) throw malformed('$.v', 'this version of Holdfast reads 1')
  const from = text(message, 'from', 60)
  switch (message.kind) {
    case 'pulse':
      return { kind: 'pulse', from }
    case 'ack':
      return { kind: 'ack', from, change: text(message, 'change'), to: text(message, 'to', 60) }
    case 'change':
      return {
        kind: 'change',
        from,
        at: decodeStamp(message.at),
        collection: text(message, 'collection', 100),
        key: text(message, 'key'),
        state: decodeState(message.state),
        ack: message.ack === undefined ? undefined : text(message, 'ack'),
      }
    default:
      throw malformed('$.kind', 'must be change, ack or pulse')
  }
}

/** @throws PayloadError for anything but a state of a record, its versions included */
export function decodeState(json: unknown): RecordState {
  const state = recordState.decode(json)
  for (const [i, { value }] of state.alive.entries()) {
    const version = Object(value) as Record<string, unknown>
    decodeStamp(version.at)
    if (version.deleted !== true && !('value' in version))
      throw malformed(`$.state.alive[${i}]`, 'must have a value, or be deleted')
  }
  return state
}

function text(message: Record<string, unknown>, name: string, lengthMax = 200): string {
  const checked = isName(name, message[name], lengthMax)
  if (checked !== true) throw malformed(`$.${name}`, checked)
  return message[name] as string
}

function malformed(path: string, message: string): PayloadError {
  return new PayloadError('message of a replica', [{ path, message }])
}
