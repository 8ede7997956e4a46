/** Histories that say something that cannot be: refused with the line, and never taken for something else. */
import { describe, expect, it } from 'vitest'
import { type CheckHistoryOptions, checkHistory } from '../../../src/history/index.ts'

type Model = CheckHistoryOptions['model']
const encoder = new TextEncoder()

/** `\xff` in a text stands for that byte, which is no UTF-8. */
function bytesOf(text: string): Uint8Array {
  return new Uint8Array(
    [...text].flatMap((c) => (c === '\xff' || c === '\xfe' ? c.charCodeAt(0) : [...encoder.encode(c)])),
  )
}

const check = (text: string, model: Model, options: Partial<CheckHistoryOptions> = {}) =>
  checkHistory({ bytes: bytesOf(text) }, { model, ...options })

/** `0 write 1` invoked and answered: two lines. */
function asked(f: string, value: unknown, answer: object = { value }, key: object = {}): string {
  const line = (type: string, more: object): string =>
    JSON.stringify({ process: 0, type, f, ...more, ...key })
  return `${line('invoke', { value })}\n${line('ok', answer)}\n`
}
const txn = (type: string, value: string): string =>
  `{"process":0,"type":"${type}","f":"txn","value":${value}}\n`
const WRITTEN = txn('ok', '[["w","x",1]]')

const refused: readonly (readonly [what: string, model: Model, text: string, problem: RegExp])[] = [
  [
    'bytes that are no text',
    'register',
    `${asked('write', 1)}{"f":"\xff"}`,
    /line 3: this is no text in UTF-8/,
  ],
  [
    'the same in EDN',
    'register',
    `{:process 0 :type :invoke :f :read}\n{:value "\xff"}`,
    /line 2: this is no text/,
  ],
  [
    'the same in a key of a transaction',
    'rw-register',
    `${WRITTEN}${txn('ok', '[["r","\xff",null]]')}`,
    /line 2: this is no text/,
  ],
  [
    'the same in a transaction without an answer',
    'rw-register',
    `${WRITTEN}\n${txn('invoke', '[["w","\xff",1]]')}`,
    /line 3: this is no text/,
  ],
  ['UTF-16', 'register', '\xff\xfe{\0', /line 1: this is text in UTF-16/],
  ['nothing', 'register', '', /line 1: the history is empty/],
  ['blank lines', 'register', '\uFEFF\n  \n', /line 1: the history is empty/],
  [
    'only the nemesis',
    'register',
    '{"process":"nemesis","type":"info","f":"kill"}',
    /line 1: the history holds no operation/,
  ],
  [
    'a number too large to be told from others',
    'register',
    asked('write', 1).replace('1}', '1e400}'),
    /line 1: no JSON: a number is too large/,
  ],
  [
    'a type of which only the beginning is right',
    'rw-register',
    txn('okay', '[["w","x",1]]'),
    /line 1: type must be .* got "okay"/,
  ],
  ['another', 'rw-register', txn('invite', '[["w","x",1]]'), /line 1: type must be .* got "invite"/],
  ['a null that is none', 'rw-register', txn('ok', '[["r","x",nulx]]'), /line 1: no JSON/],
  [
    'a number with a zero before it',
    'rw-register',
    `${WRITTEN}${txn('ok', '[["w","x",01]]')}`,
    /line 2: no JSON/,
  ],
  [
    'no JSON in a field that is not looked at',
    'rw-register',
    WRITTEN.replace('"f"', '"time":12ab,"f"'),
    /line 1: no JSON/,
  ],
  ['brackets that do not match', 'rw-register', WRITTEN.replace('"f"', '"m":[1},"f"'), /line 1: no JSON/],
  [
    'an invocation that is no JSON',
    'rw-register',
    `${txn('invoke', '[["w","x",oops]]')}${WRITTEN}`,
    /line 1: no JSON/,
  ],
  [
    'an invocation with too large a number',
    'rw-register',
    txn('invoke', '[["w","x",1e400]]'),
    /line 1: no JSON/,
  ],
  [
    'a process that is none',
    'rw-register',
    WRITTEN.replace(':0', ':{"a":1}'),
    /line 1: process must be a number or a text/,
  ],
  [
    'a version that is no exact number',
    'rw-register',
    txn('ok', '[["w","x",1,9007199254740993]]'),
    /line 1: a version must be a number below 2\^53/,
  ],
  [
    'no number in EDN',
    'register',
    '{:process 0 :type :invoke :f :write\n :value ##NaN}',
    /line 2: ##NaN is no value/,
  ],
  [
    'a key twice in EDN',
    'register',
    '{:process 0 :type :invoke :f :write :value 1 :value 2}',
    /line 1: a map has a key twice/,
  ],
  [
    'an answer of another key',
    'register',
    asked('write', 1, { value: 1 }, { key: 'x' }).replace(/x(?="}\n$)/, 'y'),
    /line 2: process 0 ends write of key y, but it had invoked it of key x/,
  ],
  [
    'the same in pairs',
    'register',
    `${asked('write', ['x', 1], { value: ['y', 1] })}${asked('read', ['x', null])}`,
    /line 2: process 0 ends write of key y/,
  ],
  ['a cas of no pair', 'cas-register', asked('cas', 3), /line 1: cas takes a pair/],
  [
    'an amount that is no whole number',
    'counter',
    asked('add', 1.5),
    /line 1: add takes a whole number, got 1.5/,
  ],
  [
    'a count that is none',
    'counter',
    asked('read', null, {}),
    /line 2: a read must answer a whole number, got nil/,
  ],
  ['nothing put in a queue', 'queue', asked('enqueue', null), /line 1: enqueue takes a value/],
  ['nothing put on a stack', 'stack', asked('push', null), /line 1: push takes a value/],
  [
    'elements that are no list',
    'set',
    asked('read', null, { value: 'abc' }),
    /line 2: a read must answer a list of the elements/,
  ],
  ['neither true nor false', 'set', asked('contains', 1, {}), /line 2: contains must answer true or false/],
  ['no token', 'fenced-lock', asked('acquire', null, {}), /line 2: acquire must answer the fencing token/],
  ['a transaction that is no list', 'multi-register', asked('txn', 3), /line 1: txn takes a list of/],
  ['one without a key', 'multi-register', asked('txn', [['r']]), /line 1: txn takes a list of/],
  [
    'an answer of another key in a transaction',
    'multi-register',
    asked('txn', [['r', 'x', null]], { value: [['r', 'y', 1]] }),
    /line 2: a txn must answer what it was asked/,
  ],
  [
    'an answer with another write',
    'multi-register',
    asked('txn', [['w', 'x', 1]], { value: [['w', 'x', 2]] }),
    /line 2: a txn must answer what it was asked/,
  ],
  ['an append of no text', 'kv', asked('append', { a: 1 }), /line 1: append takes a text/],
  [
    'an operation that is no delivery',
    'delivery',
    asked('delivered', 'm'),
    /line 1: the model delivery has no operation "delivered"/,
  ],
  [
    'a publish inside a publish',
    'delivery',
    '{"process":0,"type":"invoke","f":"publish","value":"a"}\n{"process":0,"type":"invoke","f":"publish","value":"b"}',
    /line 2: process 0 publishes before the publish of a has ended/,
  ],
  [
    'the end of another publish',
    'delivery',
    asked('publish', 'a', { value: 'b' }),
    /line 2: process 0 ends the publish of b/,
  ],
]

describe('is refused with its line', () => {
  it.each(refused)('%s (%s)', (_, model, text, problem) => {
    const jsonl = /^\s*$|^\{"/.test(text) && text.trim() !== '' ? { format: 'jsonl' as const } : {}
    expect(() => check(text, model, jsonl)).toThrow(problem)
  })
})

const REGISTER = `${asked('write', 1)}${asked('read', null, { value: 1 })}`
const bank = (...reads: string[]): string =>
  reads.map((read) => `{"process":0,"type":"ok","f":"read","value":${read}}`).join('\n')

const told: readonly (readonly [what: string, model: Model, text: string, verdict: string])[] = [
  [
    'a text that looks like a mark of ours',
    'register',
    REGISTER.replaceAll(':1}', ':"\\u0001big:x","t":12345678901234567}'),
    'valid',
  ],
  [
    'a key that is a list and one that is its text',
    'register',
    `${asked('write', 1, {}, { key: [1] })}${asked('read', null, {}, { key: '[1]' })}`,
    'valid',
  ],
  [
    'processes 0 and "0", in an array',
    'list-append',
    `[${['0', '"0"', '0', '"0"'].map((process, i) => `{"process":${process},"type":"${i < 2 ? 'invoke' : 'ok'}","value":[["append","x",${(i % 2) + 1}]]}`).join(',')}]`,
    'valid',
  ],
  [
    'a number and the text of it',
    'rw-register',
    `${txn('ok', '[["w","x",9007199254740993]]')}${txn('ok', '[["r","x","9007199254740993"]]')}`,
    'invalid',
  ],
  [
    'long numbers in an etcd log',
    'cas-register',
    [
      'invoke\t:write\t9007199254740993',
      'ok\t:write\t9007199254740993',
      'invoke\t:read\tnil',
      'ok\t:read\t9007199254740992',
    ]
      .map((line) => `INFO  jepsen.util - 0\t:${line}`)
      .join('\n'),
    'invalid',
  ],
  [
    'sets as values, in EDN',
    'rw-register',
    '{:process 0 :type :ok :f :txn :value [[:w :x #{1}]]}\n{:process 1 :type :ok :f :txn :value [[:r :x #{2}]]}',
    'invalid',
  ],
  [
    'long numbers inside of values',
    'rw-register',
    '{:process 0 :type :ok :f :txn :value [[:w :x {:a 9007199254740993}]]}\n{:process 1 :type :ok :f :txn :value [[:r :x {:a 9007199254740993}]]}',
    'valid',
  ],
  [
    'balances in tenths',
    'bank',
    bank('{"a":0.1,"b":0.2}', '{"a":0.3,"b":0}', '{"a":-1e-7,"b":0.3000001}'),
    'invalid',
  ],
  [
    'balances in tenths that add up',
    'bank',
    bank('{"a":0.1,"b":0.2}', '{"a":0.3,"b":0}', '{"a":1e-7,"b":0.2999999}'),
    'valid',
  ],
  [
    'balances above 2^53',
    'bank',
    bank('{"a":9007199254740993,"b":1}', '{"a":9007199254740992,"b":1}'),
    'invalid',
  ],
  [
    'balances that are each below 2^53',
    'bank',
    bank('{"a":9007199254740991,"b":2}', '{"a":9007199254740990,"b":2}'),
    'invalid',
  ],
  [
    'an acquire that was told that the lock is held',
    'fenced-lock',
    `${asked('acquire', null, { value: 5 })}${asked('acquire', null, { result: false }).replaceAll(':0', ':1')}`,
    'valid',
  ],
  [
    'the same of a lock that nobody holds',
    'fenced-lock',
    asked('acquire', null, { result: false }),
    'invalid',
  ],
  [
    'a publish of the nemesis',
    'delivery',
    `{"process":"nemesis","type":"info","f":"heal"}\n${asked('publish', 'a')}{"process":1,"type":"ok","f":"deliver","value":"a"}`,
    'valid',
  ],
]

describe('is told apart', () => {
  it.each(told)('%s (%s)', (_, model, text, verdict) => {
    expect(check(text, model).verdict).toBe(verdict)
  })
})
