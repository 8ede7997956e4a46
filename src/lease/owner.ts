import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { checkArguments, isName } from '../core/options.ts'

/**
 * A name for an owner of leases that no other process start has: host, process number and a random part, so that a
 * person reading the table knows where to look.
 *
 * Owners must be unique per process start. Acquiring a lease that the same owner still holds keeps its epoch; under a
 * reused name, a restarted process would share the epoch of its former self, and nothing could tell the two apart.
 */
export function uniqueOwner(prefix?: string): string {
  checkArguments('uniqueOwner', prefix === undefined || isName('prefix', prefix, 180))
  const place = prefix ?? `${hostname().slice(0, 60)}:${process.pid}`
  return `${place}:${randomUUID().slice(0, 13)}`
}
