import { describe, expect, it } from 'vitest'
import { checkLinearizable } from '../../../src/history/linearizability/check.ts'
import type { Model } from '../../../src/history/linearizability/model.ts'
import type { LinearizableModel } from '../../../src/history/linearizability/models.ts'
import { looksIndependent, pairOperations } from '../../../src/history/linearizability/operation.ts'
import { history } from './notation.ts'

type Row = readonly [title: string, model: LinearizableModel, verdict: 'valid' | 'invalid', line: string]

const table: readonly Row[] = [
  ['a read sees the write before it', 'register', 'valid', '0>write:1 0= 1>read 1=1'],
  ['a read misses the write before it', 'register', 'invalid', '0>write:1 0= 1>read 1=null'],
  ['a read beside a write may miss it', 'register', 'valid', '0>write:1 1>read 1=null 0='],
  ['a value goes and comes back', 'register', 'invalid', '0>write:1 0= 0>write:2 1>read 1=2 1>read 1=1 0='],
  ['a lost answer may have been a write', 'register', 'valid', '0>write:1 0? 1>read 1=null 1>read 1=1'],
  ['a lost write does not go away again', 'register', 'invalid', '0>write:1 0? 1>read 1=1 1>read 1=null'],
  ['a failed write is never seen', 'register', 'invalid', '0>write:1 0- 1>read 1=1'],
  [
    'a lost write happens once',
    'register',
    'invalid',
    '0>write:1 0? 1>read 1=1 1>write:2 1= 1>read 1=2 1>read 1=1',
  ],
  [
    'two lost writes alike happen twice',
    'register',
    'valid',
    '0>write:1 0? 2>write:1 2? 1>read 1=1 1>write:2 1= 1>read 1=1',
  ],
  [
    'a write of what is there may be needed later',
    'register',
    'valid',
    '0>write:1 0= 1>write:1 2>write:2 2= 3>read 3=2 3>read 3=1 1=',
  ],
  ['keys do not depend on each other', 'register', 'valid', '0>write@x:1 0= 1>read@y 1=null'],
  ['one key is wrong', 'register', 'invalid', '0>write@x:1 0= 0>write@y:1 0= 1>read@y 1=null'],
  ['cas from the value that is there', 'cas-register', 'valid', '0>write:1 0= 1>cas:[1,2] 1= 0>read 0=2'],
  ['two cas from one value', 'cas-register', 'invalid', '0>write:1 0= 1>cas:[1,2] 2>cas:[1,3] 1= 2='],
  ['cas says unequal though it was equal', 'cas-register', 'invalid', '0>write:1 0= 1>cas:[1,2] 1=!false'],
  [
    'a lost cas that was used leaves the lost write for later',
    'cas-register',
    'valid',
    '0>cas:[null,1] 0? 1>write:1 1? 2>read 2=1 2>write:2 2= 2>read 2=2 2>read 2=1',
  ],
  [
    'the same, sent in the other order',
    'cas-register',
    'valid',
    '1>write:1 1? 0>cas:[null,1] 0? 2>read 2=1 2>write:2 2= 2>read 2=2 2>read 2=1',
  ],
  [
    'two keys at one moment',
    'multi-register',
    'valid',
    '0>txn:[["w","x",1],["w","y",1]] 0= 1>txn:[["r","x",null],["r","y",null]] 1=[["r","x",1],["r","y",1]]',
  ],
  [
    'half of a transaction is seen',
    'multi-register',
    'invalid',
    '0>txn:[["w","x",1],["w","y",1]] 1>txn:[["r","x",null],["r","y",null]] 1=[["r","x",1],["r","y",null]] 0=',
  ],
  [
    'a transaction sees its own write',
    'multi-register',
    'invalid',
    '0>txn:[["w","x",1],["r","x",null]] 0=[["w","x",1],["r","x",null]]',
  ],
  [
    'a lost transaction may be seen',
    'multi-register',
    'valid',
    '0>txn:[["r","x",null],["write","y",1]] 0? 1>txn:[["read","y",null]] 1=[["read","y",1]]',
  ],
  [
    'what a lost transaction read is not known',
    'multi-register',
    'valid',
    '0>txn:[["w","x",1]] 0= 1>txn:[["r","x",null],["w","y",2]] 1? 2>txn:[["r","y",null]] 2=[["r","y",2]]',
  ],
  [
    'a key that is a number and one that is its text',
    'multi-register',
    'invalid',
    '0>txn:[["w",1,1]] 0= 1>txn:[["r","1",null]] 1=[["r","1",1]]',
  ],
  ['appends in one of two orders', 'kv', 'valid', '0>append:"a" 1>append:"b" 0= 1= 2>get 2="ba"'],
  ['an append is lost', 'kv', 'invalid', '0>append:"a" 0= 1>append:"b" 1= 2>get 2="b"'],
  ['first in, first out', 'queue', 'invalid', '0>enqueue:1 0= 0>enqueue:2 0= 1>dequeue 1=2'],
  [
    'enqueued at the same time',
    'queue',
    'valid',
    '0>enqueue:1 1>enqueue:2 0= 1= 2>dequeue 2=2 2>dequeue 2=1',
  ],
  ['taken twice', 'queue', 'invalid', '0>enqueue:1 0= 1>dequeue 2>dequeue 1=1 2=1'],
  ['empty though something was inside', 'queue', 'invalid', '0>enqueue:1 0= 1>dequeue 1=null 2>dequeue 2=1'],
  [
    'a lost dequeue took the first',
    'queue',
    'valid',
    '0>enqueue:1 0= 0>enqueue:2 0= 3>dequeue 3? 1>dequeue 1=2',
  ],
  ['last in, first out', 'stack', 'invalid', '0>push:1 0= 0>push:2 0= 1>pop 1=1'],
  [
    'pop of what was pushed last',
    'stack',
    'valid',
    '0>push:1 0= 0>push:2 0= 1>pop 1=2 1>pop 1=1 1>pop 1=null',
  ],
  ['an element disappears', 'set', 'invalid', '0>add:1 0= 1>read 1=[]'],
  ['two reads see half each', 'set', 'invalid', '0>add:1 1>add:2 2>read 3>read 2=[1] 3=[2] 0= 1='],
  ['removed and then seen', 'set', 'invalid', '0>add:1 0= 0>remove:1 0= 1>contains:1 1=true'],
  ['an increment is lost', 'counter', 'invalid', '0>increment 0= 1>increment 1= 2>read 2=1'],
  [
    'a counter beyond 2^53',
    'counter',
    'valid',
    '0>add:9007199254740991 0= 0>add:9007199254740991 0= 0>increment 0=',
  ],
  ['two holders', 'lock', 'invalid', '0>acquire 0= 1>acquire 1='],
  ['released by another', 'lock', 'invalid', '0>acquire 0= 1>release 1='],
  ['released and acquired', 'lock', 'valid', '0>acquire 0= 0>release 1>acquire 1= 0='],
  ['anyone may release a mutex', 'mutex', 'valid', '0>acquire 0= 1>release 1= 2>acquire 2='],
  ['a mutex is held twice', 'mutex', 'invalid', '0>acquire 0= 1>acquire 1='],
  ['a free mutex is released', 'mutex', 'invalid', '0>acquire 0= 0>release 0= 1>release 1='],
  ['a lost acquire took the mutex', 'mutex', 'valid', '0>acquire 0? 1>release 1= 2>acquire 2='],
  ['tokens grow', 'fenced-lock', 'valid', '0>acquire 0=1 0>release 0= 1>acquire 1=3'],
  [
    'a lost acquire has a token between',
    'fenced-lock',
    'valid',
    '0>acquire 0=1 0>release 0= 1>acquire 1? 1>release 1= 2>acquire 2=3',
  ],
  [
    'no token is left for a lost acquire',
    'fenced-lock',
    'invalid',
    '0>acquire 0=1 0>release 0= 1>acquire 1? 1>release 1= 2>acquire 2=2',
  ],
  ['a token is given twice', 'fenced-lock', 'invalid', '0>acquire 0=2 0>release 0= 1>acquire 1=2'],
]

describe.each(['fast', 'search'])('%s', (way) => {
  it.each(table)('%s (%s): %s', (_, model, verdict, line) => {
    const result = checkLinearizable(pairOperations(history(line)), { model, fast: way === 'fast' })
    expect(result.verdict).toBe(verdict)
    expect(result.anomalies.length > 0).toBe(verdict === 'invalid')
  })
})

it('names the operation without a place and the longest linearizable prefix', () => {
  const operations = pairOperations(history('0>write:1 0= 0>write:1 0= 1>read 1=1 1>read 1=7 2>read 2=1'))
  const { anomalies } = checkLinearizable(operations, { model: 'register', unit: 'operation' })
  expect(anomalies[0]).toMatchObject({
    type: 'nonlinearizable',
    operations: expect.arrayContaining([expect.objectContaining({ operations: ['read → 7'] })]),
  })
  expect(anomalies[0]?.explanation).toMatch(/operations 6 to 7/)
  expect(anomalies[0]?.explanation).toMatch(/what had ended by then \(3 operations\)/)
})

it('splits pairs into key and value where keys are independent', () => {
  const events = history('0>write:["x",1] 0= 1>read:["y",null] 1=["y",null]')
  expect(
    checkLinearizable(pairOperations(events, { independent: true }), { model: 'register' }),
  ).toMatchObject({ verdict: 'valid', objects: 2 })
})

it.each([
  [
    'each read asks for a key with nothing',
    '0>read:["x",null] 0=["x",null] 0>write:["x",1] 0= 0>read:["x",null] 0=["x",1]',
    true,
  ],
  ['a register that holds pairs', '0>write:["x",1] 0= 0>read 0=["x",1]', false],
  ['compare-and-set alone', '0>cas:[1,null] 0=', false],
])('knows pairs of key and value by what is asked: %s', (_, line, expected) => {
  expect(looksIndependent(history(line))).toBe(expected)
})

// 9 is pushed twice and popped three times.
const twenty = Array.from({ length: 20 }, (_, i) => `${i}>push:${i === 7 ? 9 : i}`).join(' ')
const popped = '0>pop 0=9 0>pop 0=9 0>pop 0=9'
const answered = Array.from({ length: 20 }, (_, i) => `${i}=`).join(' ')

it('is unknown, with the reason, when time is up', () => {
  const operations = pairOperations(history(`${twenty} ${answered} ${popped}`))
  const verdict = checkLinearizable(operations, { model: 'stack', expired: () => true })
  expect(verdict).toMatchObject({ verdict: 'unknown', reason: 'time is up', anomalies: [] })
})

it('is unknown, with the reason, when too many possibilities are open', () => {
  const operations = pairOperations(history(`${twenty} ${answered} ${popped}`))
  const verdict = checkLinearizable(operations, { model: 'stack', configurationsMax: 10_000 })
  expect(verdict).toMatchObject({ verdict: 'unknown', reason: expect.stringMatching(/more than 10000 ways/) })
})

// Twenty at the same time have more orders than can be looked at.
const many = Array.from({ length: 20 }, (_, i) => `${i + 2}>push:${i + 50}`).join(' ')
const manyEnded = Array.from({ length: 20 }, (_, i) => `${i + 2}=`).join(' ')

it.each([
  ['a value that nobody pushed', '0>pop 0=99', 'nobody pushed'],
  ['a value before its push', '0>pop 0=1 0>push:1 0=', 'before that was pushed'],
  ['a value twice', '0>push:1 0= 0>pop 0=1 0>pop 0=1', 'popped twice'],
  ['"empty" with a value inside', '0>push:1 0= 0>pop 0=null', 'was inside all the time'],
  ['a value from below another', '0>push:1 0= 0>push:2 0= 0>pop 0=1 0>pop 0=2', 'was still above it'],
])('a stack that gave %s is invalid however many orders there are', (_, what, told) => {
  const operations = pairOperations(history(`${many} ${manyEnded} ${what}`))
  const { verdict, anomalies } = checkLinearizable(operations, { model: 'stack', configurationsMax: 1_000 })
  expect(verdict).toBe('invalid')
  expect(anomalies[0]?.explanation).toContain(told)
  expect(
    checkLinearizable(operations, { model: 'stack', configurationsMax: 1_000, fast: false }).verdict,
  ).toBe('unknown')
})

describe('a model of your own', () => {
  // A register of even numbers, whose states are objects; the hash is a bad one on purpose.
  const even: Model<{ n: number }> = {
    name: 'even',
    init: () => ({ n: 0 }),
    step: (state, { f, input, output, known }) => {
      if (f === 'write') return { n: (input as number) - ((input as number) % 2) }
      return !known || output === state.n ? state : undefined
    },
    hash: () => 1,
    equal: (a, b) => a.n === b.n,
    partition: ({ process }) => (process === 9 ? 'other' : 'one'),
  }
  it.each([
    ['valid', '0>write:3 0= 1>read 1=2 9>read 9=0'],
    ['invalid', '0>write:3 0= 1>read 1=3'],
  ])('is %s', (verdict, line) => {
    const operations = pairOperations(history(line))
    expect(checkLinearizable(operations, { model: even })).toMatchObject({ verdict, model: 'even' })
  })
})

it.each([
  ['0>read 0>read', /invokes read before its read \(operation 0\) has ended/],
  ['0=1', /process 0 has nothing under way/],
])('%s is malformed', (line, problem) => {
  expect(() => pairOperations(history(line))).toThrow(problem)
})

it('refuses an operation that the model does not have', () => {
  expect(() => checkLinearizable(pairOperations(history('0>push:1 0=')), { model: 'queue' })).toThrow(
    expect.objectContaining({ code: 'HISTORY_OPERATION' }),
  )
})

it('twenty thousand operations of ten clients on one key, and the same with one wrong answer', () => {
  const { events, seen } = busyRegister(20_000)
  expect(seen).toBeGreaterThan(1_000)
  const operations = pairOperations(events)
  expect(checkLinearizable(operations, { model: 'cas-register' }).verdict).toBe('valid')
  const broken = operations.map((o, i) => (i === 19_000 ? { ...o, f: 'read', input: null, output: 77 } : o))
  expect(checkLinearizable(broken, { model: 'cas-register' }).verdict).toBe('invalid')
})

function busyRegister(count: number): { events: ReturnType<typeof history>; seen: number } {
  const events: ReturnType<typeof history> = []
  let random = 1
  const below = (n: number): number => {
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((random / 2 ** 32) * n)
  }
  const under = new Map<number, { f: string; value: unknown; answer?: unknown; result?: boolean }>()
  let state: number | null = null
  let seen = 0
  for (let begun = 0; begun < count || under.size > 0; ) {
    const process = below(10)
    const operation = under.get(process)
    if (operation === undefined) {
      if (begun >= count) continue
      begun++
      const f = ['read', 'write', 'cas'][below(3)] as string
      const value = f === 'read' ? null : f === 'write' ? below(5) : [below(5), below(5)]
      under.set(process, { f, value })
      events.push({ type: 'invoke', process, f, value })
    } else if (operation.answer === undefined) {
      const { f, value } = operation
      operation.answer = f === 'read' ? state : value
      if (f === 'write') state = value as number
      if (f === 'cas') {
        operation.result = state === (value as number[])[0]
        if (operation.result) state = (value as number[])[1] as number
      }
      if (f === 'read' && state !== null) seen++
      if (operation.answer === null) operation.answer = undefined
      operation.answer ??= 'nil'
    } else {
      under.delete(process)
      const { f, answer, result } = operation
      events.push({
        type: 'ok',
        process,
        f,
        value: answer === 'nil' ? null : answer,
        ...(result === false ? { result } : {}),
      })
    }
  }
  return { events, seen }
}
