import { createHash } from 'node:crypto'
import type { RedisLike } from './redis-client.ts'

/** A Lua script, sent by its digest and whole when the server does not know it (after a restart). */
export class Script {
  readonly #text: string
  readonly #sha: string
  readonly #keys: number

  constructor(text: string, keys: number) {
    this.#text = text
    this.#keys = keys
    this.#sha = createHash('sha1').update(text).digest('hex')
  }

  run(client: RedisLike, args: readonly (string | number)[]): Promise<unknown> {
    return client.evalsha(this.#sha, this.#keys, ...args).catch((error: unknown) => {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return client.eval(this.#text, this.#keys, ...args)
    })
  }
}
