import { checkOptions, isDuration, isUrl, optionsOf } from '../../core/options.ts'
import type { PeerLink } from '../peer-link.ts'

export interface HttpPeerOptions {
  /** Where the peer's application answers with `answerPeerRequest`. */
  readonly url: string
  /** Sent with each question, for your authentication. */
  readonly headers?: Readonly<Record<string, string>>
  /** Bound of one question. Default 30 000. */
  readonly timeoutMs?: number
  readonly fetch?: typeof fetch
}

/** A link to a peer over HTTP: each question is the body of a POST. @throws ConfigError */
export function httpPeer(options: HttpPeerOptions): PeerLink {
  const { url, headers = {}, timeoutMs = 30_000, fetch: call = fetch } = optionsOf('httpPeer', options)
  checkOptions(
    'httpPeer',
    options,
    ['url', 'headers', 'timeoutMs', 'fetch'],
    [isUrl('url', url), isDuration('timeoutMs', timeoutMs)],
  )
  return {
    async ask(question, { signal }) {
      const response = await call(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(question),
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      })
      if (!response.ok)
        throw new Error(`answered ${response.status}: ${(await response.text()).slice(0, 200)}`)
      return response.json()
    },
  }
}
