/** Models that compare what went in with what came out, named as the checkers of Jepsen's. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkHistory } from '../../../src/history/check-history.ts'
import { type Operation, pairOperations } from '../../../src/history/linearizability/operation.ts'
import type { HistoryEvent } from '../../../src/history/operation.ts'
import type { TallyModel } from '../../../src/history/tallies/check-tally.ts'
import { history } from '../linearizability/notation.ts'

type Row = readonly [title: string, verdict: string, types: readonly string[], line: string]

const tables: Readonly<Record<TallyModel, readonly Row[]>> = {
  'total-queue': [
    ['in another order', 'valid', [], '0>enqueue:1 0= 0>enqueue:2 0= 1>dequeue 1=2 1>dequeue 1=1'],
    ['drained', 'valid', [], '0>enqueue:1 0= 0>enqueue:2 0= 1>drain 1=[2,1]'],
    ['one is left', 'invalid', ['lost'], '0>enqueue:1 0= 0>enqueue:2 0= 1>drain 1=[2]'],
    ['one of two alike is left', 'invalid', ['lost'], '0>enqueue:1 0= 0>enqueue:1 0= 1>drain 1=[1]'],
    ['no answer, and it came out', 'valid', [], '0>enqueue:1 0? 1>dequeue 1=1'],
    ['no answer, and it did not', 'valid', [], '0>enqueue:1 0? 1>dequeue 1=null'],
    [
      'it failed, and it came out',
      'invalid',
      ['unexpected'],
      '0>enqueue:1 0- 2>enqueue:2 2= 1>drain 1=[1,2]',
    ],
    ['from nowhere', 'invalid', ['unexpected'], '0>enqueue:1 0= 1>drain 1=[1,7]'],
    [
      'a dequeue without an answer may have it',
      'unknown',
      [],
      '0>enqueue:1 0= 1>dequeue 1? 2>dequeue 2=null',
    ],
    ['one is not enough for two', 'invalid', ['lost', 'lost'], '0>enqueue:1 0= 0>enqueue:2 0= 1>dequeue 1?'],
    ['a drain without an answer may', 'unknown', [], '0>enqueue:1 0= 0>enqueue:2 0= 1>drain 1?'],
    ['nothing', 'unknown', [], '1>dequeue 1=null'],
    ['of one key', 'invalid', ['lost'], '0>enqueue@x:1 0= 0>enqueue@y:1 0= 1>dequeue@x 1=1'],
  ],
  'unique-ids': [
    ['each another', 'valid', [], '0>generate 0=1 1>generate 1=2 2>generate 2?'],
    ['a number and its text', 'valid', [], '0>generate 0=1 1>generate 1="1"'],
    ['one twice', 'invalid', ['duplicated'], '0>generate 1>generate 0=1 1=1 0>generate 0=2'],
    ['none', 'unknown', [], '0>generate 0?'],
  ],
  'set-full': [
    ['never read', 'unknown', [], '0>add:1 0='],
    ['seen after', 'valid', [], '0>add:1 0= 1>read 1=[1]'],
    ['missed after', 'invalid', ['lost'], '0>add:1 0= 1>read 1=[]'],
    ['missed beside', 'unknown', [], '1>read 0>add:1 0= 1=[]'],
    ['a lost add, missed', 'unknown', [], '0>add:1 0? 1>read 1=[]'],
    ['a lost add, seen and then missed', 'invalid', ['lost'], '0>add:1 0? 1>read 1=[1] 1>read 1=[]'],
    ['stale, and then there', 'valid', [], '0>add:1 0= 1>read 1=[] 1>read 1=[1]'],
    ['seen by one that was sent before', 'invalid', ['lost'], '0>add:1 0= 1>read 2>read 2=[] 1=[1]'],
    ['one of two', 'invalid', ['lost'], '0>add:1 0= 0>add:2 0= 1>read 1=[1,2] 1>read 1=[2]'],
    ['twice in one answer', 'invalid', ['duplicated'], '0>add:1 0= 1>read 1=[1,1]'],
    ['from nowhere', 'invalid', ['unexpected'], '0>add:1 0= 1>read 1=[1,7]'],
    ['before it was added', 'invalid', ['unexpected'], '1>read 1=[1] 0>add:1 0= 1>read 1=[1]'],
  ],
  'causal-reverse': [
    ['both', 'valid', [], '0>write:1 0= 0>write:2 0= 1>read 1=[2,1]'],
    ['the first', 'valid', [], '0>write:1 0= 0>write:2 0= 1>read 1=[1]'],
    ['the second without the first', 'invalid', ['causal-reverse'], '0>write:1 0= 0>write:2 0= 1>read 1=[2]'],
    ['written at the same time', 'valid', [], '0>write:1 2>write:2 0= 2= 1>read 1=[2]'],
    ['the first has no answer', 'valid', [], '0>write:1 0? 2>write:2 2= 1>read 1=[2]'],
    ['the second has none', 'invalid', ['causal-reverse'], '0>write:1 0= 2>write:2 2? 1>read 1=[2]'],
    ['from nowhere', 'invalid', ['unexpected'], '0>write:1 0= 1>read 1=[1,7]'],
    ['no read', 'unknown', [], '0>write:1 0= 1>read 1?'],
  ],
}

describe.each(Object.entries(tables))('%s', (model, rows) => {
  it.each(rows)('%s: %s', (_, verdict, types, line) => {
    const result = checkHistory({ events: history(line) }, { model: model as TallyModel })
    expect(result.anomalies.map(({ type }) => type)).toEqual(types)
    expect(result).toMatchObject({ model, verdict })
    if (verdict === 'unknown') expect(result.reason).toBeTypeOf('string')
  })
})

it('says what came out twice, which it allows, and how many more there are than it lists', () => {
  const twice = history('0>enqueue:1 0= 1>dequeue 1=1 1>dequeue 1=1')
  expect(checkHistory({ events: twice }, { model: 'total-queue' })).toMatchObject({
    verdict: 'valid',
    reason: expect.stringContaining('1 values came out more often'),
  })
  const many = history(Array.from({ length: 20 }, (_, i) => `0>enqueue:${i} 0=`).join(' '))
  expect(checkHistory({ events: many }, { model: 'total-queue' })).toMatchObject({
    anomalies: { length: 16 },
    reason: expect.stringContaining('20 lost'),
  })
})

it.each([
  ['total-queue', '0>enqueue:1 0= 1>drain 1=3', /operation 3: a drain must answer the list/],
  ['total-queue', '0>enqueue:null 0=', /operation 0: enqueue takes a value/],
  ['set-full', '0>add:1 0= 1>read 1=3', /operation 3: a read must answer a list/],
  ['causal-reverse', '0>write:1 0= 0>write:1 0=', /operation 2: 1 is written twice/],
  ['causal-reverse', '1>read 1="x"', /operation 1: a read must answer a list/],
  ['unique-ids', '0>next 0=1', /no operation "next"/],
] as [TallyModel, string, RegExp][])('%s refuses %s', (model, line, problem) => {
  expect(() => checkHistory({ events: history(line) }, { model })).toThrow(problem)
})

/** As Jepsen defines it: every read is held against every element that had been sent by its answer. */
function lostByForce(operations: readonly Operation[]): Set<unknown> {
  const reads = operations.filter(({ f, known }) => f === 'read' && known)
  const lost = operations.filter(({ f, input, invokedAt, completedAt }) => {
    if (f !== 'add') return false
    const told = reads.filter((read) => read.completedAt > invokedAt)
    const sees = ({ output }: Operation): boolean => (output as unknown[]).includes(input)
    const known = Math.min(completedAt, ...told.filter(sees).map((read) => read.completedAt))
    const present = Math.max(-1, ...told.filter(sees).map((read) => read.invokedAt))
    const absent = Math.max(-1, ...told.filter((read) => !sees(read)).map((read) => read.invokedAt))
    return present < absent && known < absent
  })
  return new Set(lost.map(({ input }) => input))
}

it('finds the elements that Jepsen calls lost, in random histories', () => {
  const token = fc.record({
    process: fc.nat({ max: 3 }),
    read: fc.boolean(),
    seen: fc.subarray([1, 2, 3, 4, 5]),
    info: fc.boolean(),
  })
  let [some, none] = [0, 0]
  fc.assert(
    fc.property(fc.array(token, { minLength: 10, maxLength: 40, size: 'max' }), (tokens) => {
      const events: HistoryEvent[] = []
      const open = new Map<number, string>()
      let added = 0
      for (const { process, read, seen, info } of tokens) {
        const f = open.get(process)
        if (f === undefined) {
          const value = read ? null : ++added
          open.set(process, read ? 'read' : 'add')
          events.push({ process, type: 'invoke', f: read ? 'read' : 'add', value })
          continue
        }
        open.delete(process)
        if (f === 'add') events.push({ process, type: info ? 'info' : 'ok', f })
        else events.push({ process, type: 'ok', f, value: seen.filter((n) => n <= added) })
      }
      if (events.length === 0) return
      const { anomalies } = checkHistory({ events }, { model: 'set-full' })
      const lost = lostByForce(pairOperations(events))
      expect(anomalies.filter(({ type }) => type === 'lost')).toHaveLength(lost.size)
      if (lost.size > 0) some++
      else none++
    }),
    { seed: 20_261_127, numRuns: 1_500 },
  )
  expect(Math.min(some, none)).toBeGreaterThan(100)
})
