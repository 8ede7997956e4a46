import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { publishInKeyOrder } from '../../src/broker/in-key-order.ts'
import type { Message, PublishResult } from '../../src/broker/index.ts'

const signal = new AbortController().signal

describe('publishing in the order of keys', () => {
  it('stores a prefix of every key, across topics, whatever fails and whatever answers first', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ key: fc.constantFrom('a', 'b', 'c', null), kind: fc.nat(9), turns: fc.nat(3) }),
          {
            maxLength: 40,
          },
        ),
        fc.integer({ min: 1, max: 5 }),
        async (plan, inFlightMax) => {
          const batch = plan.map(({ key }, i) => message(i, key))
          const sent: number[] = []
          let inFlight = 0
          const results = await publishInKeyOrder(
            batch,
            async (m) => {
              const i = Number(m.id)
              sent.push(i)
              expect(++inFlight).toBeLessThanOrEqual(inFlightMax)
              for (let t = 0; t < (plan[i]?.turns ?? 0); t++) await Promise.resolve()
              inFlight--
              return resultOf(plan[i]?.kind ?? 0)
            },
            { inFlightMax, signal },
          )
          for (const key of ['a', 'b', 'c']) {
            const own = batch.flatMap((m, i) => (m.key === key ? [i] : []))
            const failed = own.findIndex((i) => (plan[i]?.kind ?? 0) < 2)
            const tried = failed < 0 ? own : own.slice(0, failed + 1)
            expect(sent.filter((i) => plan[i]?.key === key)).toEqual(tried)
            expect(own.map((i) => results[i]?.kind)).toEqual(
              own.map((i, at) => (at < tried.length ? resultOf(plan[i]?.kind ?? 0).kind : 'unknown')),
            )
          }
          expect(sent.filter((i) => plan[i]?.key === null).length).toBe(
            plan.filter(({ key }) => key === null).length,
          )
        },
      ),
    )
  })

  it('sends nothing more once the signal has fired', async () => {
    const stop = new AbortController()
    let sent = 0
    const results = await publishInKeyOrder(
      [message(0, 'a'), message(1, 'a')],
      async () => {
        sent++
        stop.abort(new Error('stop'))
        return { kind: 'stored' }
      },
      { inFlightMax: 4, signal: stop.signal },
    )
    expect([sent, results.map((r) => r.kind)]).toEqual([1, ['stored', 'unknown']])
  })
})

/** 0 refused, 1 unknown, else stored. */
function resultOf(kind: number): PublishResult {
  if (kind === 0) return { kind: 'refused', error: new Error('refused') }
  if (kind === 1) return { kind: 'unknown', error: new Error('unknown') }
  return { kind: 'stored' }
}

function message(id: number, key: string | null): Message {
  return { id: String(id), topic: id % 2 ? 't' : 'u', key, payload: '{}', headers: {}, publishedAtMs: 0 }
}
