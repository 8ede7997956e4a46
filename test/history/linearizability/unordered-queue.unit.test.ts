/** A queue that keeps no order, against a program that tries what each dequeue without an answer may have taken. */
import { expect, it } from 'vitest'
import { checkLinearizable } from '../../../src/history/linearizability/check.ts'
import { type Operation, pairOperations } from '../../../src/history/linearizability/operation.ts'
import type { HistoryEvent } from '../../../src/history/operation.ts'
import { seeded } from '../../../src/race/random.ts'
import { history } from './notation.ts'

const model = 'unordered-queue'

it.each([
  ['in another order', 'valid', '0>enqueue:1 0= 0>enqueue:2 0= 1>dequeue 1=2 1>dequeue 1=1'],
  ['before it was put in', 'invalid', '1>dequeue 1=1 0>enqueue:1 0='],
  ['beside', 'valid', '1>dequeue 0>enqueue:1 1=1'],
  ['twice', 'invalid', '0>enqueue:1 0= 1>dequeue 1=1 1>dequeue 1=1'],
  ['alike', 'valid', '0>enqueue:1 0= 0>enqueue:1 0= 1>dequeue 1=1 1>dequeue 1=1'],
  ['what nobody put in', 'invalid', '0>enqueue:1 0= 1>dequeue 1=2'],
  ['empty though something was inside', 'invalid', '0>enqueue:1 0= 1>dequeue 1=null 2>dequeue 2=1'],
  ['a lost dequeue took it', 'valid', '0>enqueue:1 0= 3>dequeue 3? 1>dequeue 1=null'],
  ['it cannot take two', 'invalid', '0>enqueue:1 0= 0>enqueue:2 0= 3>dequeue 3? 1>dequeue 1=null'],
  ['nor what another took', 'invalid', '0>enqueue:1 0= 3>dequeue 3? 1>dequeue 1=null 1>dequeue 1=1'],
  ['drained in another order', 'valid', '0>enqueue:1 0= 0>enqueue:2 0= 1>drain 1=[2,1]'],
  ['not all that was there', 'invalid', '0>enqueue:1 0= 0>enqueue:2 0= 1>drain 1=[2]'],
  ['keys do not depend on each other', 'invalid', '0>enqueue@x:1 0= 1>dequeue@y 1=1'],
])('%s is %s: %s', (_, verdict, line) => {
  expect(checkLinearizable(pairOperations(history(line)), { model }).verdict).toBe(verdict)
})

/** Every order of every step, every value that a lost dequeue can have taken, with no model and no memory. */
function allowedByForce(operations: readonly Operation[]): boolean {
  const go = (
    left: readonly Operation[],
    bag: readonly unknown[],
    taken: ReadonlyMap<Operation, number>,
  ): boolean => {
    if (left.every((o) => !o.known)) return true
    const firstAnswer = Math.min(...left.map((o) => o.completedAt))
    const minus = (at: number): unknown[] => bag.toSpliced(at, 1)
    return left.some((o) => {
      if (o.invokedAt > firstAnswer) return false
      const without = left.filter((other) => other !== o)
      if (o.f === 'enqueue') return go(without, [...bag, o.input], taken)
      if (!o.known) return bag.some((_, at) => go(o.f === 'drain' ? left : without, minus(at), taken))
      const answered =
        o.f === 'drain' ? (o.output as readonly unknown[]) : o.output === null ? [] : [o.output]
      const at = taken.get(o) ?? 0
      if (at === answered.length) return bag.length === 0 && go(without, bag, taken)
      const inside = bag.indexOf(answered[at])
      if (inside < 0) return false
      return o.f === 'drain'
        ? go(left, minus(inside), new Map(taken).set(o, at + 1))
        : go(without, minus(inside), taken)
    })
  }
  return go(operations, [], new Map())
}

function drawn(random: () => number, unique: boolean): HistoryEvent[] {
  const events: HistoryEvent[] = []
  const open = new Map<number, string>()
  const below = (n: number): number => Math.floor(random() * n)
  let [put, fresh] = [0, 3]
  const names = [0, 1, 2]
  for (let n = 0; n < 12; n++) {
    const slot = below(3)
    const process = names[slot] as number
    const f = open.get(process)
    if (f === undefined) {
      const begun = random() < 0.5 ? 'enqueue' : random() < 0.75 ? 'dequeue' : 'drain'
      open.set(process, begun)
      const value = begun === 'enqueue' ? (unique ? ++put : 1 + below(2)) : null
      events.push({ process, type: 'invoke', f: begun, value })
      continue
    }
    open.delete(process)
    if (random() < 0.25) {
      events.push({ process, type: 'info', f })
      names[slot] = fresh++
    } else if (f === 'enqueue') events.push({ process, type: 'ok', f })
    else {
      const any = (): number => 1 + below(unique ? Math.max(put, 1) : 2)
      const value = f === 'drain' ? Array.from({ length: below(3) }, any) : random() < 0.3 ? null : any()
      events.push({ process, type: 'ok', f, value })
    }
  }
  return events
}

it.each([true, false])('agrees with trying everything (values unique: %s)', (unique) => {
  const seen = { valid: 0, invalid: 0 }
  for (let seed = 1; seed <= 4_000; seed++) {
    const operations = pairOperations(drawn(seeded(seed), unique))
    const expected = allowedByForce(operations) ? 'valid' : 'invalid'
    seen[expected]++
    for (const fast of [true, false]) {
      expect(checkLinearizable(operations, { model, fast }).verdict, `seed ${seed}, ${fast}`).toBe(expected)
    }
  }
  expect(Math.min(seen.valid, seen.invalid)).toBeGreaterThan(400)
})
