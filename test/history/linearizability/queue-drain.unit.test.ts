/** Jepsen's `drain`: one operation of a queue that dequeues until it is empty. */
import { describe, expect, it } from 'vitest'
import { checkHistory } from '../../../src/history/check-history.ts'
import { checkLinearizable } from '../../../src/history/linearizability/check.ts'
import { type Operation, pairOperations } from '../../../src/history/linearizability/operation.ts'
import type { HistoryEvent } from '../../../src/history/operation.ts'
import { seeded } from '../../../src/race/random.ts'
import { history } from './notation.ts'
import { mutate } from './simulated.ts'

const table: readonly (readonly [title: string, verdict: 'valid' | 'invalid', line: string])[] = [
  ['all that is there, in order', 'valid', '0>enqueue:1 0= 0>enqueue:2 0= 1>drain 1=[1,2]'],
  ['an empty queue', 'valid', '1>drain 1=[]'],
  ['in another order', 'invalid', '0>enqueue:1 0= 0>enqueue:2 0= 1>drain 1=[2,1]'],
  ['not all that was there', 'invalid', '0>enqueue:1 0= 0>enqueue:2 0= 1>drain 1=[1]'],
  ['what nobody put in', 'invalid', '0>enqueue:1 0= 1>drain 1=[1,2]'],
  ['a value twice', 'invalid', '0>enqueue:1 0= 1>drain 1=[1,1]'],
  ['one enqueued meanwhile, or not', 'valid', '1>drain 0>enqueue:1 0= 2>drain 1=[] 2=[1]'],
  ['one enqueued meanwhile and taken', 'valid', '1>drain 0>enqueue:1 0= 1=[1]'],
  [
    'others take in between',
    'valid',
    '0>enqueue:1 0= 0>enqueue:2 0= 0>enqueue:3 0= 1>drain 2>dequeue 2=2 1=[1,3]',
  ],
  ['two that share', 'valid', '0>enqueue:1 0= 0>enqueue:2 0= 0>enqueue:3 0= 1>drain 2>drain 1=[2] 2=[1,3]'],
  [
    'two that share, one out of order',
    'invalid',
    '0>enqueue:1 0= 0>enqueue:2 0= 0>enqueue:3 0= 1>drain 2>drain 1=[2] 2=[3,1]',
  ],
  ['enqueued at the same time', 'valid', '0>enqueue:1 3>enqueue:2 0= 3= 1>drain 1=[2,1]'],
  [
    'the order of one drain tells that of the enqueues',
    'invalid',
    '0>enqueue:1 3>enqueue:2 0= 4>enqueue:3 3= 4= 1>drain 1=[3,2,1]',
  ],
  ['it saw the queue empty before it ended', 'invalid', '0>enqueue:1 0= 1>drain 1=[] 2>dequeue 2=1'],
  ['values alike', 'valid', '0>enqueue:1 0= 0>enqueue:1 0= 1>drain 1=[1,1]'],
  [
    'values alike, taken by one that ends first',
    'valid',
    '0>enqueue:1 0= 0>enqueue:1 0= 1>drain 2>dequeue 2=1 1=[1]',
  ],
  ['values alike, too many', 'invalid', '0>enqueue:1 0= 0>enqueue:1 0= 1>drain 1=[1,1,1]'],
  [
    'values alike, in two drains',
    'valid',
    '0>enqueue:1 0= 0>enqueue:2 0= 0>enqueue:1 0= 1>drain 2>drain 1=[1] 2=[1,2]',
  ],
  [
    'it took one that came late, and after that the queue was never empty',
    'invalid',
    '1>drain 0>enqueue:1 0= 2>enqueue:9 0>enqueue:2 0= 3>dequeue 3=1 2= 1=[9] 3>dequeue 3=2',
  ],
  [
    'a lost answer: it took some',
    'valid',
    '0>enqueue:1 0= 0>enqueue:2 0= 0>enqueue:3 0= 1>drain 1? 2>dequeue 2=3',
  ],
  ['a lost answer: it took them later', 'valid', '1>drain 1? 0>enqueue:1 0= 0>enqueue:2 0= 2>dequeue 2=null'],
  ['a lost answer: it took nothing', 'valid', '0>enqueue:1 0= 1>drain 1? 2>drain 2=[1]'],
  ['a lost answer does not put values in', 'invalid', '0>enqueue:1 0= 1>drain 1? 2>drain 2=[2]'],
  ['nor does one take what went before it was sent', 'invalid', '0>enqueue:1 0= 2>dequeue 2=null 1>drain 1?'],
  ['one that did not happen', 'invalid', '0>enqueue:1 0= 1>drain 1- 2>dequeue 2=null'],
]

/**
 * Every order of every step, with no model and no memory. A drain is what it says: dequeues until the queue is empty, and
 * whoever did not hear of the end may have taken any number.
 */
function allowedByForce(operations: readonly Operation[]): boolean {
  const go = (
    left: readonly Operation[],
    queue: readonly unknown[],
    taken: ReadonlyMap<Operation, number>,
  ): boolean => {
    if (left.every((o) => !o.known)) return true
    const firstAnswer = Math.min(...left.map((o) => o.completedAt))
    return left.some((o) => {
      if (o.invokedAt > firstAnswer) return false
      const without = left.filter((other) => other !== o)
      const [head, ...tail] = queue
      if (o.f === 'enqueue') return go(without, [...queue, o.input], taken)
      if (o.f === 'dequeue') {
        if (!o.known || (queue.length > 0 && o.output === head)) return go(without, tail, taken)
        return queue.length === 0 && o.output === null && go(without, queue, taken)
      }
      if (!o.known) return queue.length > 0 && go(left, tail, taken)
      const answered = o.output as readonly unknown[]
      const at = taken.get(o) ?? 0
      if (at === answered.length) return queue.length === 0 && go(without, queue, taken)
      return queue.length > 0 && head === answered[at] && go(left, tail, new Map(taken).set(o, at + 1))
    })
  }
  return go(operations, [], new Map())
}

/** Clients of a correct queue, and what they see; each draws what it does and a drain takes one value at a time. */
function simulate(random: () => number, values: 'unique' | 'alike'): HistoryEvent[] {
  interface Client {
    process: number
    f?: string
    value?: unknown
    done?: boolean
    answer?: unknown
    list?: unknown[]
  }
  const events: HistoryEvent[] = []
  const clients: Client[] = [0, 1, 2].map((process) => ({ process }))
  const queue: unknown[] = []
  let [begun, named, put] = [0, 3, 0]
  const most = 4 + Math.floor(random() * 3)
  while (begun < most || clients.some(({ f }) => f !== undefined)) {
    const client = clients[Math.floor(random() * clients.length)] as Client
    const { process, f } = client
    if (f === undefined) {
      if (begun++ >= most) continue
      const kind = random()
      client.f = kind < 0.5 ? 'enqueue' : kind < 0.65 ? 'dequeue' : 'drain'
      client.value =
        client.f === 'enqueue' ? (values === 'unique' ? ++put : 1 + Math.floor(random() * 2)) : null
      client.list = []
      client.done = false
      events.push({ type: 'invoke', process, f: client.f, value: client.value })
    } else if (random() < 0.08) {
      events.push({ type: 'info', process, f })
      clients[clients.indexOf(client)] = { process: named++ }
    } else if (client.done === true) {
      events.push({ type: 'ok', process, f, value: f === 'enqueue' ? client.value : client.answer })
      delete client.f
    } else if (f === 'enqueue') client.done = queue.push(client.value) > 0
    else if (f === 'dequeue') Object.assign(client, { done: true, answer: queue.shift() ?? null })
    else if (queue.length > 0) client.list?.push(queue.shift())
    else Object.assign(client, { done: true, answer: client.list })
  }
  return events
}

/** Another list in one of the drains. */
function changeDrain(events: readonly HistoryEvent[], random: () => number): HistoryEvent[] {
  const drains = events.flatMap(({ f, type }, at) => (f === 'drain' && type === 'ok' ? at : []))
  const at = drains[Math.floor(random() * drains.length)]
  if (at === undefined) return [...events]
  const list = [...((events[at] as HistoryEvent).value as unknown[])]
  const [i, j] = [Math.floor(random() * list.length), Math.floor(random() * (list.length + 1))]
  const [one] = list.splice(i, 1)
  if (one === undefined || random() < 0.3) list.splice(j, 0, 1 + Math.floor(random() * 4))
  else if (random() < 0.7) list.splice(j, 0, one)
  return events.with(at, { ...(events[at] as HistoryEvent), value: list })
}

/** A list in place of a value, or the reverse: no queue's answer, and refused. */
function isOdd({ f, type, value }: HistoryEvent): boolean {
  return type === 'ok' && f !== 'enqueue' && Array.isArray(value) !== (f === 'drain')
}

/** `HOLDFAST_CHECK_RUNS=200000` makes a campaign of it. */
const runs = Number(process.env.HOLDFAST_CHECK_RUNS ?? 1_500)
const first = Number(process.env.HOLDFAST_CHECK_SEED ?? 1)

describe('a drain', () => {
  it.each(table)('%s: %s', (_, verdict, line) => {
    const operations = pairOperations(history(line))
    expect(allowedByForce(operations) ? 'valid' : 'invalid').toBe(verdict)
    expect(checkLinearizable(operations, { model: 'queue' }).verdict).toBe(verdict)
    expect(checkLinearizable(operations, { model: 'queue', fast: false }).verdict).toBe(verdict)
  })

  it.each(['unique', 'alike'] as const)('is as trying every order says, values %s', (values) => {
    const seen = { valid: 0, invalid: 0 }
    for (let seed = first; seed < first + runs; seed++) {
      const random = seeded(seed)
      let events = simulate(random, values)
      for (let n = Math.floor(random() * 3); n > 0; n--) {
        const changed = random() < 0.5 ? changeDrain(events, random) : mutate(events, random)
        if (!changed.some(isOdd)) events = changed
      }
      const operations = pairOperations(events)
      const expected = allowedByForce(operations) ? 'valid' : 'invalid'
      seen[expected]++
      expect(checkLinearizable(operations, { model: 'queue' }).verdict, `seed ${seed}`).toBe(expected)
      expect(checkLinearizable(operations, { model: 'queue', fast: false }).verdict, `seed ${seed}`).toBe(
        expected,
      )
    }
    expect(Math.min(seen.valid, seen.invalid)).toBeGreaterThan(runs / 10)
  })

  it('is read from Jepsen’s EDN, with keys of its own where values are pairs', () => {
    const text = `{:process 0, :type :invoke, :f :enqueue, :value [x 1]}
{:process 0, :type :ok, :f :enqueue, :value [x 1]}
{:process :nemesis, :type :info, :f :start, :value nil}
{:process 1, :type :invoke, :f :drain, :value [x nil]}
{:process 1, :type :ok, :f :drain, :value [x (1)]}
{:process 2, :type :invoke, :f :drain, :value [y nil]}
{:process 2, :type :info, :f :drain, :value [y [1]], :error :timeout}
`
    const bytes = (edn: string): Uint8Array => new TextEncoder().encode(edn)
    expect(checkHistory({ bytes: bytes(text) }, { model: 'queue' }).verdict).toBe('valid')
    const wrong = text.replace('(1)', '()')
    expect(checkHistory({ bytes: bytes(wrong) }, { model: 'queue' })).toMatchObject({
      verdict: 'invalid',
      anomalies: [
        {
          explanation: expect.stringMatching(
            /^Key "?x"?: drain → \[\] of process 1 \(lines 4 to 5\): It answered that the queue was empty/,
          ),
        },
      ],
    })
  })

  it('without a list is refused with its line', () => {
    const lines = (value: string): string =>
      `{"process":1,"type":"invoke","f":"drain"}\n{"process":1,"type":"ok","f":"drain"${value}}\n`
    const verdict = (text: string): string =>
      checkHistory({ bytes: new TextEncoder().encode(text) }, { model: 'queue', format: 'jsonl' }).verdict
    expect(verdict(lines(',"value":[]'))).toBe('valid')
    for (const value of [
      '',
      ',"value":null',
      ',"value":3',
      ',"value":[null]',
      ',"value":{"a":1}',
      ',"result":false',
    ]) {
      expect(() => verdict(lines(value)), value).toThrow(
        /^malformed history, line 2: a drain must answer the list/,
      )
    }
  })

  it('that was under way is no answer to the longest prefix, and its steps are told as one operation', () => {
    const events = history('0>enqueue:1 0= 0>enqueue:2 0= 1>drain 2>dequeue 2=null 1=[2,1]')
    for (const fast of [true, false]) {
      const { anomalies } = checkLinearizable(pairOperations(events), {
        model: 'queue',
        unit: 'operation',
        fast,
      })
      expect(anomalies[0]?.prefix, `fast: ${fast}`).toMatchObject({
        before: { name: 'operation 4', operations: ['drain → [2,1]'] },
        operations: 3,
      })
    }
  })
})
