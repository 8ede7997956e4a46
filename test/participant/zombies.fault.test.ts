import { createServer } from 'node:http'
import { callStep, createParticipant, expressStep } from 'holdfast/participant'
import { isStopped } from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import { applied, apply, stores } from '../inbox/stores.ts'
import { startFixture } from '../support/process.ts'
import { until } from '../support/wait.ts'
import { listen } from './listen.ts'

interface Line {
  readonly epoch?: number
  readonly kind?: string
  readonly code?: string
  readonly url?: string
}

const CALLER = new URL('./caller-process.ts', import.meta.url)
const SERVING = new URL('./serving-process.ts', import.meta.url)
const [, pgStore] = stores as [unknown, (typeof stores)[number]]

const start = (options: object) => startFixture<Line>(CALLER, { args: [JSON.stringify(options)] })
const stopped = (pid: number) =>
  until(() => isStopped(pid), { deadlineMs: 20_000, everyMs: 50, what: 'the process to stop' })

describe('a saga runner that is stopped (SIGSTOP) past its lease and goes on (SIGCONT) after its successor was there', () => {
  // Before the barrier, with the gate locked, and with the work done: the last two end with their connection.
  it.each([
    ['participant.begun', 'charge', 'STALE_EPOCH'],
    ['participant.begun', 'ship', 'STALE_EPOCH'],
    ['participant.worked', 'charge', 'COMMIT_UNKNOWN'],
  ])(
    'changes nothing in a store participant: stopped at %s, successor at step %s',
    async (stopAt, step, code) => {
      await using opened = await pgStore.open()
      const { store, at } = opened
      const zombie = start({ at, name: 'zombie', step: 'charge', stopAt })
      await stopped(zombie.pid)
      const successor = start({ at, name: 'successor', step })
      const { kind } = await successor.line((line) => line.kind !== undefined, { deadlineMs: 20_000 })
      expect(kind).toBe('done')
      zombie.thaw()
      const end = await zombie.line((line) => line.code !== undefined || line.kind !== undefined)
      expect(end).toMatchObject({ code })
      expect(zombie.lines[0]?.epoch).toBe(1)
      expect(successor.lines[0]?.epoch).toBe(2)
      expect(await applied(store)).toEqual(['successor'])
    },
  )

  it.each(['charge', 'ship'])(
    'changes nothing in an HTTP participant, successor at step %s',
    async (step) => {
      await using opened = await pgStore.open()
      const { store, at } = opened
      const serve = expressStep(createParticipant(store), {
        do: async (tx, input) => void (await tx.execute(apply('order-1', (input as { note: string }).note))),
      })
      await using service = await listen(createServer((q, a) => void serve(q, a)))
      const zombie = start({ at, url: service.url, name: 'zombie', step: 'charge', stopAt: 'send' })
      await stopped(zombie.pid)
      const successor = start({ at, url: service.url, name: 'successor', step })
      expect(await successor.line((line) => line.kind !== undefined, { deadlineMs: 20_000 })).toMatchObject({
        kind: 'done',
      })
      zombie.thaw()
      expect(await zombie.line((line) => line.code !== undefined || line.kind !== undefined)).toMatchObject({
        code: 'STALE_EPOCH',
      })
      expect(await applied(store)).toEqual(['successor'])
    },
  )
})

describe('an HTTP participant that is stopped in the middle of a step', () => {
  it.each(['participant.begun', 'participant.worked'])(
    'at %s, does not apply it beside another instance that was called meanwhile',
    async (stopAt) => {
      await using opened = await pgStore.open()
      const { store, at } = opened
      const serve = (options: object) =>
        startFixture<Line>(SERVING, { args: [JSON.stringify({ at, ...options })] })
      const [frozen, other] = [serve({ stopAt }), serve({})]
      const urls = await Promise.all(
        [frozen, other].map(async (p) => (await p.line((line) => line.url !== undefined)).url as string),
      )
      const call = { saga: 'order-1', step: 'charge', phase: 'do' } as const
      const first = callStep(urls[0] as string, { ...call, epoch: 1n, input: { note: 'first' } }).catch(
        (e) => e,
      )
      await stopped(frozen.pid)
      // The gate may still be held by the stopped one, until the server ends its transaction.
      const second = await callStep(urls[1] as string, { ...call, epoch: 2n, input: { note: 'second' } })
      expect(second).toMatchObject({ kind: 'done' })
      frozen.thaw()
      expect(await first).toMatchObject({
        code: stopAt === 'participant.begun' ? 'STALE_EPOCH' : 'STEP_UNANSWERED',
      })
      expect(await applied(store)).toEqual(['second'])
    },
  )
})
