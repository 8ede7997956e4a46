import { HoldfastError } from '../core/errors.ts'
import { checkOptions, isFunction, isName, isToken, optionsOf } from '../core/options.ts'
import { type FencedLock, toPresent } from './fence.ts'

/** The request carries no `Fencing-Token`, or one that cannot be read. */
export class FencingTokenError extends HoldfastError {
  static {
    this.prototype.name = 'FencingTokenError'
  }
  readonly code = 'FENCING_TOKEN_INVALID'
  readonly outcome = 'not-applied'
  /** 428 when there is none, 400 when it cannot be read. */
  readonly status: 400 | 428

  constructor(status: 400 | 428, message: string) {
    super(message)
    this.status = status
  }
}

export const FENCING_HEADER = 'Fencing-Token'

/**
 * The header that carries a lock's token to the service that writes: `Fencing-Token: 42; name="invoice:42"; holder="…"`.
 *
 * An item with parameters (RFC 9651); what its strings cannot hold is percent-encoded. @throws ConfigError for a shared lock
 */
export function fencingHeader(lock: FencedLock): Record<typeof FENCING_HEADER, string> {
  const { resource, token, holder } = toPresent('fencingHeader', lock)
  return {
    [FENCING_HEADER]: `${token}; name="${encodeURIComponent(resource)}"; holder="${encodeURIComponent(holder)}"`,
  }
}

const HEADER = /^\s*(\d{1,19})\s*;\s*name="([^"\\]+)"\s*;\s*holder="([^"\\]+)"\s*$/

/** What `fencingHeader` wrote; hand it to `fence` in the transaction that writes. @throws FencingTokenError */
export function readFencingHeader(value: string | null | undefined): FencedLock {
  if (value === null || value === undefined || value === '') {
    throw new FencingTokenError(428, `the request needs the header ${FENCING_HEADER}`)
  }
  const [, digits = '', name = '', holder = ''] = (typeof value === 'string' && HEADER.exec(value)) || []
  const read = { token: BigInt(digits), name: decode(name), holder: decode(holder) }
  const checks = [isToken('token', read.token), isName('name', read.name, 500), isName('holder', read.holder)]
  const problem = checks.find((check) => check !== true)
  if (problem !== undefined) {
    throw new FencingTokenError(400, `the header ${FENCING_HEADER} cannot be read: ${problem}`)
  }
  return { mode: 'exclusive', ...read }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return ''
  }
}

/** The parts of Express's (or Node's) request and response that the middleware uses. */
export interface FencingRequest {
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  fencing?: FencedLock
}

export interface FencingResponse {
  statusCode: number
  setHeader(name: string, value: string): unknown
  end(body: string): unknown
}

export interface FencingOptions {
  /** The resource that this request writes to; another one in the header is refused. Default: any. */
  readonly resource?: (request: FencingRequest) => string
}

/**
 * Express middleware: reads the header into `request.fencing` and answers 428 or 400 where there is none or it is of
 * another resource. It checks nothing against the store; `fence(tx, request.fencing)` in the handler's transaction does.
 * For Fetch-style handlers (Hono, Fastify) call `readFencingHeader` with the header's value.
 */
export function fencingMiddleware(options: FencingOptions = {}) {
  const { resource } = optionsOf('fencingMiddleware', options)
  checkOptions(
    'fencingMiddleware',
    options,
    ['resource'],
    [resource === undefined || isFunction('resource', resource)],
  )
  return (request: FencingRequest, response: FencingResponse, next: (error?: unknown) => void): void => {
    try {
      const value = request.headers[FENCING_HEADER.toLowerCase()]
      const read = readFencingHeader(typeof value === 'string' ? value : value?.join(','))
      const wanted = resource?.(request)
      if (wanted !== undefined && read.name !== wanted) {
        throw new FencingTokenError(400, `the fencing token is of "${read.name}", not of "${wanted}"`)
      }
      request.fencing = read
    } catch (error) {
      if (!(error instanceof FencingTokenError)) {
        next(error)
        return
      }
      response.statusCode = error.status
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ error: { code: error.code, message: error.message } }))
      return
    }
    next()
  }
}
