import { HoldfastError } from '../core/errors.ts'
import type { RecordId } from './record.ts'

/** The caller's context has not seen a version that is here, and the collection refuses such writes. Read again. */
export class StaleContextError extends HoldfastError {
  static {
    this.prototype.name = 'StaleContextError'
  }
  readonly code = 'REPLICA_STALE_CONTEXT'
  readonly outcome = 'not-applied'
  readonly collection: string

  constructor({ collection }: RecordId) {
    super(`the record of "${collection}" was changed since it was read: read it again and decide again`)
    this.collection = collection
  }
}

/** The caller has seen more of the record than this replica has: what he read or wrote elsewhere has not come here yet. */
export class ReplicaBehindError extends HoldfastError {
  static {
    this.prototype.name = 'ReplicaBehindError'
  }
  readonly code = 'REPLICA_BEHIND'
  readonly outcome = 'not-applied'
  readonly collection: string

  constructor({ collection }: RecordId, replica: string) {
    super(
      `replica "${replica}" does not have yet what the caller has seen of a record of "${collection}": ` +
        'wait and try again, or go to the replica that answered last',
    )
    this.collection = collection
  }
}

/** Too many versions stand beside one another for one more that has not seen them. */
export class SiblingsError extends HoldfastError {
  static {
    this.prototype.name = 'SiblingsError'
  }
  readonly code = 'REPLICA_SIBLINGS'
  readonly outcome = 'not-applied'

  constructor({ collection }: RecordId, siblings: number) {
    super(
      `a record of "${collection}" has ${siblings} versions beside one another: write one that has seen them`,
    )
  }
}

/** Your own merge function threw. The versions are stored; only reading them as one value failed. */
export class MergeFunctionError extends HoldfastError {
  static {
    this.prototype.name = 'MergeFunctionError'
  }
  readonly code = 'REPLICA_MERGE_FAILED'
  readonly outcome = 'not-applied'

  constructor(options: { readonly cause: unknown }) {
    super('the merge function of the collection threw; the versions are kept as they are', options)
  }
}

/** The write is durable here; that enough members have it is not known. It is not undone, and may still reach them. */
export class NotConfirmedError extends HoldfastError {
  static {
    this.prototype.name = 'NotConfirmedError'
  }
  readonly code = 'REPLICA_NOT_CONFIRMED'
  readonly outcome = 'unknown'
  /** The members that are known to have it. */
  readonly members: readonly string[]

  constructor(members: readonly string[], wanted: number, timeoutMs: number, options?: ErrorOptions) {
    super(
      `${members.length} of ${wanted} members are known to have the write after ${timeoutMs} ms (${members.join(', ')}): ` +
        'it may still reach the others',
      options,
    )
    this.members = members
  }
}

/** A peer did not answer, or not with what a peer answers. */
export class PeerUnavailableError extends HoldfastError {
  static {
    this.prototype.name = 'PeerUnavailableError'
  }
  readonly code = 'REPLICA_PEER_UNAVAILABLE'
  readonly outcome = 'not-applied'

  constructor(peer: string, options: { readonly cause: unknown }) {
    super(`peer "${peer}" did not answer: it is asked again at the next round`, options)
  }
}
