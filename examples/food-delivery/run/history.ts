import { createWriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'

/**
 * One line of the history. Types as in Jepsen: `invoke` begins an operation; `ok` it happened, `fail` it did not,
 * `info` nobody knows (the answer was lost; the customer may try again with the same key).
 */
export interface Operation {
  readonly process: string
  readonly type: 'invoke' | 'ok' | 'fail' | 'info'
  readonly f: 'menu' | 'place-order' | 'end-order' | 'change-price'
  readonly value: unknown
}

export interface History {
  add(run: string, operation: Operation): void
  close(): Promise<void>
}

/** Writes JSON lines with `index`, `run` and `time` (nanoseconds since the history began, monotonic). */
export function openHistory(path: string | undefined): History {
  if (path === undefined) return { add: () => {}, close: async () => {} }
  const stream = createWriteStream(path)
  const failed = new Promise<never>((_, reject) => stream.once('error', reject))
  failed.catch(() => {})
  const startedNs = process.hrtime.bigint()
  let index = 0
  return {
    add(run, operation) {
      const time = Number(process.hrtime.bigint() - startedNs)
      stream.write(`${JSON.stringify({ index: index++, run, time, ...operation })}\n`)
    },
    async close() {
      stream.end()
      await Promise.race([finished(stream), failed])
    },
  }
}
