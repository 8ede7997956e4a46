import { isHoldfastError, PayloadError } from '../../core/errors.ts'
import { checkArguments, hasMethods, isObject, isText } from '../../core/options.ts'
import { isStore } from '../../store/arguments.ts'
import type { Store } from '../../store/store.ts'
import { StaleContextError } from '../errors.ts'
import type { Found } from '../read.ts'
import type { Replica } from '../replica.ts'
import type { Change } from '../write.ts'
import { etagOf, readIfMatch } from './etag.ts'

/** A request as every framework has it. `body`: its text, or what the framework made of its JSON. */
export interface RecordRequest {
  readonly method: string
  readonly key: string
  header(name: string): string | undefined
  readonly body?: { readonly text: string } | { readonly json: unknown }
}

export interface RecordAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** JSON; empty with 204 and 304. */
  readonly body: string
}

export interface RecordEndpoint {
  readonly replica: Replica
  readonly store: Store
  readonly collection: string
  /** How long a read or a write waits for what its caller has seen elsewhere. Default 2 000. */
  readonly waitMs?: number
  /** Writes without `If-Match` replace whatever is here. Default false: they are answered 428. */
  readonly allowBlind?: boolean
}

/**
 * Answers GET, PUT and DELETE of one record, with its context as the ETag. Rejects for no request of a client's.
 *
 * GET: 200 with the value; 300 with `{ values }` where several stand; 404; 304 for `If-None-Match`. With
 * `Replica-Context`, the ETag of an earlier answer, it is at least as new as that, or 503 with `Retry-After`.
 * PUT, DELETE: `If-Match` with the ETag replaces what was read; a stale one is 412, or makes a sibling where the
 * collection says so. `If-None-Match: *` creates. Every answer names the replica, and how old it may be.
 * @see RFC 9110, sections 13.1.1, 13.1.2 and 15.4.1; RFC 6585, section 3
 */
export async function answerRecord(endpoint: RecordEndpoint, request: RecordRequest): Promise<RecordAnswer> {
  checkArguments('answerRecord', isObject('endpoint', endpoint), isObject('request', request))
  checkArguments(
    'answerRecord',
    hasMethods('replica', endpoint.replica, 'what createReplica gives', 'put', 'get', 'staleness'),
    isStore(endpoint.store),
    hasMethods('request', request, 'a method, a key and a way to read headers', 'header'),
    isText('collection', endpoint.collection),
    isText('method', request.method),
  )
  const { replica } = endpoint
  const answer = await (request.method === 'GET' ? read : write)(endpoint, request).catch(answerOf)
  // What the store does not answer is not known of it either.
  const staleness = await replica.staleness().catch(() => undefined)
  const headers = { replica: replica.id, 'replica-stale-ms': String(staleness?.staleMs ?? 'unknown') }
  return { ...answer, headers: { ...answer.headers, ...headers } }
}

async function read(
  { replica, store, collection, waitMs = 2_000 }: RecordEndpoint,
  { key, header }: RecordRequest,
): Promise<RecordAnswer> {
  const seen = readIfMatch(header('replica-context'))
  const found = await replica.get(
    store,
    collection,
    key,
    seen.kind === 'context' ? { atLeast: seen.context, waitMs } : {},
  )
  const headers = { etag: etagOf(found) }
  if (!found.exists) return json(404, { error: 'NOT_FOUND' }, headers)
  if (header('if-none-match') === headers.etag) return { status: 304, headers, body: '' }
  return found.values.length > 1
    ? json(300, { values: found.values }, headers)
    : json(200, found.value, headers)
}

async function write(endpoint: RecordEndpoint, request: RecordRequest): Promise<RecordAnswer> {
  const { replica, store, collection, waitMs = 2_000, allowBlind = false } = endpoint
  const { key, method, header } = request
  if (method !== 'PUT' && method !== 'DELETE')
    return json(405, { error: 'METHOD' }, { allow: 'GET, PUT, DELETE' })
  const seen = readIfMatch(header('if-match'))
  const creates = header('if-none-match')?.trim() === '*'
  if (seen.kind === 'absent' && !creates && !allowBlind) return json(428, { error: 'IF_MATCH_REQUIRED' })
  const value = method === 'PUT' ? readBody(request) : undefined
  // Outside of the transaction: nothing is held while what the caller has seen is on its way.
  if (seen.kind === 'context') await replica.get(store, collection, key, { atLeast: seen.context, waitMs })
  const written = await store.transaction(async (tx): Promise<Change | Found> => {
    const found: Found = await replica.get(tx, collection, key)
    if (creates ? found.exists : seen.kind === 'any' && !found.exists) {
      throw new StaleContextError({ collection, key })
    }
    const options =
      seen.kind === 'context'
        ? { context: seen.context }
        : { context: found.context, ...(allowBlind && !creates ? {} : { onStale: 'refuse' as const }) }
    if (method === 'PUT') return replica.put(tx, collection, key, value as never, options)
    return (await replica.delete(tx, collection, key, options)) ?? found
  })
  const headers = { etag: etagOf(written) }
  return method === 'PUT' ? json(200, value, headers) : { status: 204, headers, body: '' }
}

function readBody({ body }: RecordRequest): unknown {
  try {
    if (body !== undefined) return 'json' in body ? body.json : JSON.parse(body.text)
  } catch {
    // Not JSON: the same answer as none.
  }
  throw new PayloadError('body', [{ path: '$', message: 'must be JSON' }])
}

const STATUS: Readonly<Record<string, number>> = {
  REPLICA_STALE_CONTEXT: 412,
  REPLICA_BEHIND: 503,
  REPLICA_SIBLINGS: 409,
  PAYLOAD_INVALID: 400,
  CONFIG_INVALID: 400,
}

function answerOf(error: unknown): RecordAnswer {
  const code = isHoldfastError(error) ? error.code : 'INTERNAL'
  const status = STATUS[code] ?? (isHoldfastError(error) ? 503 : 500)
  return json(status, { error: code }, status === 503 ? { 'retry-after': '1' } : {})
}

function json(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): RecordAnswer {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  }
}
