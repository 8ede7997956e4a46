import { expect, it } from 'vitest'
import { checkDelivery } from '../../src/history/delivery/check-delivery.ts'
import type { HistoryEvent } from '../../src/history/operation.ts'

/** `p1@k` published (ok), `p1@k>` sent, `p1=` answered, `p1?` no answer, `p1-` failed; `d1` delivered, `d1?` perhaps, `d1#g` to a group. */
function run(line: string): HistoryEvent[] {
  return line.split(' ').map((token): HistoryEvent => {
    const match = /^([pd])(\d+)(?:@(\w+))?(?:#(\w+))?([>=?-]?)$/.exec(token)
    if (match === null) throw new Error(token)
    const [, kind, id, key, group, mark] = match
    const type = mark === '>' ? 'invoke' : mark === '?' ? 'info' : mark === '-' ? 'fail' : 'ok'
    return {
      process: kind === 'p' ? `publisher ${id}` : 'consumer',
      f: kind === 'p' ? 'publish' : 'deliver',
      type,
      value: Number(id),
      ...(key === undefined ? {} : { key }),
      ...(group === undefined ? {} : { group }),
    }
  })
}

it.each([
  ['p1 d1', 'valid', []],
  ['p1 p2 d1', 'invalid', ['lost']],
  ['p1 d1 d1', 'invalid', ['duplicated']],
  ['p1@k p2@k d2 d1', 'invalid', ['reordered']],
  ['p1@k p2@j d2 d1', 'valid', []],
  ['p1@k> p2@k> p1= p2= d2 d1', 'valid', []],
  ['p1@k> p1= p2@k> d2 d1 p2=', 'invalid', ['reordered']],
  ['p1@k p2@k d1 d2 d1', 'invalid', ['duplicated']],
  ['d1', 'invalid', ['phantom']],
  ['p1> p1- d1', 'invalid', ['phantom']],
  ['d1 p1', 'invalid', ['phantom']],
  ['p1> p1?', 'valid', []],
  ['p1> p1? d1', 'valid', []],
  ['p1 d1?', 'unknown', []],
  ['p1 d1#a d1#b p2 d2#a', 'invalid', ['lost']],
] as const)('%s is %s', (line, verdict, types) => {
  const result = checkDelivery(run(line))
  expect(result.verdict).toBe(verdict)
  expect(result.anomalies.map((a) => a.type)).toEqual(types)
  expect(result.reason !== undefined).toBe(verdict === 'unknown')
})

it('accepts duplicates where they are allowed, and then looks at first deliveries', () => {
  expect(checkDelivery(run('p1@k p2@k d1 d2 d1'), { allowDuplicates: true }).verdict).toBe('valid')
})

it.each([
  [[{ process: 0, type: 'ok', f: 'publish' }], /operation 0: publish has no value/],
  [run('p1 p1'), /message 1 is published twice/],
] as [HistoryEvent[], RegExp][])('a history without sense is malformed', (events, problem) => {
  expect(() => checkDelivery(events)).toThrow(problem)
})
