import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Lane, Lanes } from '../../src/inbox/lanes.ts'

type Owner = { readonly name: string }

describe('Lanes', () => {
  it('hands out work in order within a key, whatever happens between, and each once', () => {
    const action = fc.oneof(
      fc.record({ kind: fc.constant('push' as const), key: fc.constantFrom('a', 'b', 'c', null) }),
      fc.record({
        kind: fc.constantFrom('take', 'finish', 'requeue', 'park', 'wake', 'aside'),
        pick: fc.nat(7),
      }),
    )
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
        const owner: Owner = { name: 'o' }
        const lanes = new Lanes<{ key: string | null; n: number }, Owner>()
        lanes.open(owner)
        const busy: Lane<{ key: string | null; n: number }, Owner>[] = []
        const parked: typeof busy = []
        const done: { key: string | null; n: number }[] = []
        const aside = new Set<number>()
        let n = 0
        const finish = (lane: (typeof busy)[number]) => {
          done.push(lane.queue[0] as { key: string | null; n: number })
          lanes.finish(lane, 1)
        }
        for (const act of actions) {
          if (act.kind === 'push') lanes.push(owner, act.key, { key: act.key, n: n++ })
          else if (act.kind === 'take') {
            const lane = lanes.peek()
            if (lane !== undefined) {
              lanes.take(lane)
              busy.push(lane)
            }
          } else if (act.kind === 'wake') {
            const [lane] = parked.splice(act.pick % Math.max(1, parked.length), 1)
            if (lane !== undefined) lanes.wake(lane)
          } else {
            const [lane] = busy.splice(act.pick % Math.max(1, busy.length), 1)
            if (lane === undefined) continue
            if (act.kind === 'finish') finish(lane)
            else if (act.kind === 'requeue') lanes.requeue(lane)
            else if (act.kind === 'park') {
              lanes.park(lane)
              parked.push(lane)
            } else {
              aside.add((lane.queue[0] as { n: number }).n)
              parked.push(lanes.setAside(lane))
            }
          }
          expect(new Set(busy).size).toBe(busy.length)
        }
        for (const lane of busy) finish(lane)
        for (const lane of parked) lanes.wake(lane)
        for (let lane = lanes.peek(); lane !== undefined; lane = lanes.peek()) {
          lanes.take(lane)
          finish(lane)
        }
        expect(done.map((work) => work.n).sort((x, y) => x - y)).toEqual(
          Array.from({ length: n }, (_, i) => i),
        )
        for (const key of ['a', 'b', 'c']) {
          const order = done.filter((work) => work.key === key && !aside.has(work.n)).map((work) => work.n)
          expect(order).toEqual([...order].sort((x, y) => x - y))
        }
        expect(lanes.size).toBe(0)
      }),
    )
  })

  it('forgets what an owner brought, and only that', () => {
    const [one, two]: Owner[] = [{ name: 'one' }, { name: 'two' }] as [Owner, Owner]
    const lanes = new Lanes<string, Owner>()
    lanes.open(one as Owner)
    lanes.open(two as Owner)
    lanes.push(one as Owner, 'k', 'a')
    lanes.push(two as Owner, 'k', 'b')
    lanes.drop(one as Owner)
    expect(lanes.size).toBe(1)
    const lane = lanes.peek() as Lane<string, Owner>
    expect(lane.queue).toEqual(['b'])
    lanes.push(one as Owner, 'k', 'late')
    expect(lanes.size).toBe(1)
  })
})
