/** What a participant that is busy asks for with `Retry-After`, over real HTTP. */
import { createServer, type RequestListener } from 'node:http'
import { type SagaContext, type SagaRunner, saga } from 'holdfast/saga'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listen } from '../participant/listen.ts'
import { type OpenedStore, startRunner, stores } from './stores.ts'

interface Call {
  readonly url: string
  readonly capMs?: number
  readonly fails?: boolean
}

const call = saga('call', async (s: SagaContext, { url, capMs = 30_000, fails = false }: Call) => {
  const retry = { attemptsMax: 2, baseMs: 1, capMs }
  const result = await s.http('call', { url, undo: true, retry, undoRetry: retry })
  if (fails) throw new Error('no')
  return result
})

let journal: OpenedStore
let runner: SagaRunner
beforeAll(async () => {
  journal = await (stores[0] as (typeof stores)[number]).open()
  runner = await startRunner(journal.store, [call])
})
afterAll(async () => {
  await runner.stop()
  await journal[Symbol.asyncDispose]()
})

/** Answers the first call of each phase with what `busy` says, and every later one with a result; notes when each came. */
async function serve(busy: (answer: Parameters<RequestListener>[1]) => void) {
  const cameMs: Record<string, number[]> = { do: [], undo: [] }
  const server = createServer((request, answer) => {
    request.resume()
    const came = cameMs[String(request.headers['holdfast-phase'])] as number[]
    came.push(performance.now())
    if (came.length === 1) busy(answer)
    else answer.setHeader('content-type', 'application/json').end('{"result":1}')
  })
  return {
    ...(await listen(server)),
    /** Between the first call of the phase and the second. */
    gapMs: (phase: 'do' | 'undo') => (cameMs[phase]?.[1] ?? Number.NaN) - (cameMs[phase]?.[0] ?? Number.NaN),
  }
}

describe.concurrent('a participant that is busy', () => {
  it.each([
    ['seconds', 503, () => '1'],
    ['seconds, and the status of too many requests', 429, () => '1'],
    ['an HTTP date', 503, (nowMs: number) => new Date(nowMs + 2_000).toUTCString()],
  ])('is called again after what it asks for: %s', async (what, status, retryAfter) => {
    await using participant = await serve((answer) => {
      const nowMs = Date.now()
      const date = new Date(nowMs).toUTCString()
      answer.writeHead(status, { 'retry-after': retryAfter(nowMs), date }).end()
    })
    expect(await call.run(journal.store, { url: participant.url }, { id: what })).toBe(1)
    expect(participant.gapMs('do')).toBeGreaterThanOrEqual(990)
  })

  it('is waited for before its undo is repeated too', async () => {
    await using participant = await serve((answer) => {
      answer.writeHead(503, { 'retry-after': '1' }).end()
    })
    const running = call.run(journal.store, { url: participant.url, fails: true }, { id: 'undo' })
    await expect(running).rejects.toThrow('no')
    expect(participant.gapMs('undo')).toBeGreaterThanOrEqual(990)
  })

  // Without the bound this one ends in an hour, or, with what cannot be read, never.
  it.each(['3600', 'Fri, 31 Dec 2100 23:59:59 GMT', 'whenever'])(
    'is waited for no longer than the policy allows: %s',
    async (retryAfter) => {
      await using participant = await serve((answer) => {
        answer.writeHead(503, { 'retry-after': retryAfter }).end()
      })
      const input = { url: participant.url, capMs: 20 }
      expect(await call.run(journal.store, input, { id: retryAfter })).toBe(1)
    },
  )
})
