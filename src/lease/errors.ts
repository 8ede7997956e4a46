import { HoldfastError } from '../core/errors.ts'
import type { LeaseRef } from './lease.ts'

/**
 * The reason with which a held lease's `signal` fires: the lease ended, was taken over, or was given up. Work done
 * under it that has not committed must stop.
 */
export class LeaseLostError extends HoldfastError {
  static {
    this.prototype.name = 'LeaseLostError'
  }
  readonly code = 'LEASE_LOST'
  readonly outcome = 'not-applied'
  readonly scope: string
  readonly leaseName: string
  readonly epoch: bigint

  constructor({ scope, name, epoch }: LeaseRef, why: string, options?: ErrorOptions) {
    super(`lease "${name}" of "${scope}" (epoch ${epoch}) is no longer held: ${why}`, options)
    this.scope = scope
    this.leaseName = name
    this.epoch = epoch
  }
}
