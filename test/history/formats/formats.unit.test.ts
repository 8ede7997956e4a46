import { describe, expect, it } from 'vitest'
import { detectFormat } from '../../../src/history/formats/detect.ts'
import { parseEdn } from '../../../src/history/formats/edn.ts'
import { parseEdnHistory } from '../../../src/history/formats/edn-history.ts'
import { parseJsonLines } from '../../../src/history/formats/jsonl.ts'
import { parsePorcupine } from '../../../src/history/formats/porcupine.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('JSON lines', () => {
  it('keeps fields, lines and whole numbers beyond 2^53', () => {
    const events = parseJsonLines(
      '\uFEFF{"process":0,"type":"invoke","f":"write","value":9007199254740993}\n\n{"process":0,"type":"ok","f":"write","value":"9007199254740993","key":"k"}\n',
    )
    expect(events).toEqual([
      { process: 0, type: 'invoke', f: 'write', value: 9007199254740993n, line: 1 },
      { process: 0, type: 'ok', f: 'write', value: '9007199254740993', key: 'k', line: 3 },
    ])
  })

  it('reads all events from one array too, as elle-cli does, however it is laid out', () => {
    const events = parseJsonLines(
      '\uFEFF[ {"process":0,"type":"invoke","f":"write","value":"},\\"["},\n{"process":0,\n"type":"ok","f":"write","value":[1,{"a":[]}]}\n, {"process":1,"type":"info","f":"read"}]\n',
    )
    expect(events).toEqual([
      { process: 0, type: 'invoke', f: 'write', value: '},"[', line: 1 },
      { process: 0, type: 'ok', f: 'write', value: [1, { a: [] }], line: 2 },
      { process: 1, type: 'info', f: 'read', line: 4 },
    ])
  })

  it.each([
    ['', /line 1: the history holds no operation/],
    ['{"process":0,"type":"invoke","f":"read"}\n{"process":0,', /line 2: no JSON/],
    ['[1]', /line 1: expected an object/],
    ['\n{"process":0,"type":"done","f":"read"}', /line 2: type must be invoke, ok, fail or info, got "done"/],
    ['{"type":"ok","f":"read"}', /line 1: process must be a number or a text, got nothing/],
    ['{"process":0,"type":"ok"}', /line 1: f must name the operation/],
    ['[]', /line 1: the history holds no operation/],
    [
      '[{"process":0,"type":"ok","f":"read"},\n{"process":1,"type":"ok"}]',
      /line 2: f must name the operation/,
    ],
    ['[{"process":0,\n"type":"ok","f":"read"}\n,]', /line 3: an event is missing before "\]"/],
    ['[{"process":0,"type":"ok","f":"read"},\n', /line 2: "\]" is missing: the array of events is cut off/],
    ['[{"process":0,"type":"ok","f":"read"}]\n{}', /line 2: more follows the array of events/],
    ['[{"process":0,"type":"ok","f":"re]d}"', /line 1: "\]" is missing/],
  ])('%j is malformed', (text, problem) => {
    expect(() => parseJsonLines(text)).toThrow(problem)
  })
})

describe('EDN', () => {
  it('reads a history in a tagged vector, and operations with a namespace', () => {
    const events = parseEdnHistory(
      '#jepsen.history.DenseHistory [#jepsen.history.Op{:process 0, :type :invoke, :f :my.test/read, :jepsen/seen true}\n{:process :nemesis, :type :info, :f :net/heal, :value nil}]',
    )
    expect(events.map(({ process, f, line }) => [process, f, line])).toEqual([
      [0, 'read', 1],
      ['nemesis', 'heal', 2],
    ])
    expect(() => parseEdnHistory('[[1 2]]')).toThrow('expected a map, got [1,2]')
  })

  it.each([
    ['nil', null],
    ['[1 -2 3.5 1e3 1/4 7N 2.5M]', [1, -2, 3.5, 1000, 0.25, 7, 2.5]],
    ['9007199254740993', 9007199254740993n],
    ['"a\\n\\"\\u00e9"', 'a\n"é'],
    ['[\\a \\newline \\u0041]', ['a', '\n', 'A']],
    ['[:key :ns/key symbol]', ['key', 'ns/key', 'symbol']],
    ['{:a 1, "b" [2]}', { a: 1, b: [2] }],
    ['{1 2}', new Map([[1, 2]])],
    ['#{1 2}', new Set([1, 2])],
    ['[1 #_ {:x 2} 3 ; comment\n 4]', [1, 3, 4]],
    ['#jepsen.history.Op{:index 0}', { index: 0 }],
    ['#inst "2020-01-01"', '2020-01-01'],
    ['[#"a[b]+\\d\\"" 1]', ['a[b]+\\d\\"', 1]],
    ['[0x2b6 -0xFF 0xffffffffffffffff]', [694, -255, 18446744073709551615n]],
  ])('%s', (text, value) => {
    expect(parseEdn(text)).toEqual([{ value, line: 1 }])
  })

  it.each([
    ['[1\n 2', /line 1: "\]" is missing/],
    ['1\n ]', /line 2: "\]" closes nothing/],
    ['\n{:a}', /line 2: a map has a key without a value/],
    ['"open', /line 1: a text is not closed/],
    ['"\\q"', /line 1: \\q is no escape/],
    ['12x', /line 1: 12x is no number/],
    ['0x', /line 1: 0x is no number/],
    ['##Infinite', /line 1: ##Infinite is no value/],
    ['#"open', /line 1: a text is not closed/],
    [':', /line 1: a keyword has no name/],
    ['['.repeat(300), /nested deeper than 256/],
  ])('%j is malformed', (text, problem) => {
    expect(() => parseEdn(text)).toThrow(problem)
  })

  it('reads a history as Jepsen writes it, one map after the other or in a vector', () => {
    const maps =
      '{:process 0, :type :invoke, :f :cas, :value [1 2]}\n{:process :nemesis, :type :info, :f :kill}'
    const events = [
      { process: 0, type: 'invoke', f: 'cas', value: [1, 2], line: 1 },
      { process: 'nemesis', type: 'info', f: 'kill', line: 2 },
    ]
    expect(parseEdnHistory(maps)).toEqual(events)
    expect(parseEdnHistory(`[${maps}]`)).toEqual(events)
    expect(parseEdnHistory(`(${maps}) ; a list`)).toEqual(events)
    expect(() => parseEdnHistory(`[${maps}] 7`)).toThrow(/line 1: expected a map/)
    expect(() => parseEdnHistory('{:process 0}\n')).toThrow(/line 1: type must be/)
    expect(() => parseEdnHistory('7')).toThrow(/line 1: expected a map/)
  })
})

it('reads what Clojure prints beside the operations: objects, expressions, numbers without an end', () => {
  const aside =
    '{:process :nemesis, :type :info, :f :bump, :value {"n1" ##Inf, "n2" ##NaN}, :by #object[user$f 0x2b6 "user$f@2b6"]}\n' +
    '{:process 0, :type :info, :f :read, :value nil, :latency ##-Inf, :exception {:of #"a\\"b\n"}}\n'
  const read = '{:process 1, :type :invoke, :f :read, :value [nil\n #{##Inf}]}'
  expect(parseEdnHistory(aside).map(({ f, line }) => [f, line])).toEqual([
    ['bump', 1],
    ['read', 2],
  ])
  expect(() => parseEdnHistory(aside + read)).toThrow(/line 5: ##Inf is no value that can be compared/)
})

describe('logs of Porcupine', () => {
  it('reads an etcd log', () => {
    const log = [
      'INFO  jepsen.util - 3\t:invoke\t:cas\t[3 0]',
      'INFO  jepsen.util - 3\t:fail\t:cas\t[3 0]',
      'INFO  jepsen.util - :nemesis\t:info\t:start\tnil',
      'INFO  jepsen.util - 1\t:invoke\t:write\t4',
      'INFO  jepsen.util - 1\t:info\t:write\t:timed-out',
    ].join('\n')
    expect(parsePorcupine(log)).toMatchObject({
      initial: null,
      events: [
        { process: 3, type: 'invoke', f: 'cas', value: [3, 0] },
        { type: 'ok', f: 'cas', result: false, line: 2 },
        { type: 'invoke', f: 'write', value: 4, line: 4 },
        { type: 'info', f: 'write', line: 5 },
      ],
    })
  })

  it('reads a key-value log', () => {
    const log = '{:process 0, :type :invoke, :f :get, :key "4", :value nil}'
    expect(parsePorcupine(log)).toMatchObject({ initial: '', events: [{ f: 'get', key: '4', value: null }] })
  })

  it.each([
    ['INFO  jepsen.util - 0\t:invoke\t:read', /line 1: expected "INFO/],
    ['INFO  jepsen.util - 0\t:invoke\t:swap\t1', /line 1: operation must be read, write or cas/],
    ['INFO  jepsen.util - 0\t:invoke\t:cas\t1', /line 1: cas takes a pair/],
    ['INFO  jepsen.util - 0\t:invoke\t:write\tx', /line 1: a value must be a number or nil/],
    ['something else', /line 1: expected/],
    ['', /no operation/],
  ])('%j is malformed', (text, problem) => {
    expect(() => parsePorcupine(text)).toThrow(problem)
  })
})

it.each([
  ['{"process":0,"type":"ok","f":"read"}', 'jsonl'],
  ['{:process 0 :type :ok, :f :read}', 'edn'],
  ['[{:process 0}]', 'edn'],
  ['{:process 0, :type :invoke, :f :get, :key "4", :value nil}', 'porcupine'],
  ['INFO  jepsen.util - 3\t:invoke\t:read\tnil', 'porcupine'],
  ['r 1 2\nw 1 3', 'text'],
  ['r(1,2,3,4)', 'text'],
  ['\u0003\0\0\0\0\0\0\0', 'dbcop'],
  ['[[{"events":[]}]]', 'dbcop'],
  ['[x:=1 y==2] [z==?]!\n', 'dbcop'],
  ['[k1==0]', 'dbcop'],
  ['[{"value":{"0":10},"type":"ok","process":0}]', 'jsonl'],
  ['[\n {"index":0,"process":0,"type":"invoke","value":[["r","x",null]]}', 'jsonl'],
  ['S\0\0\0\0\0\0\0\u0001', 'cobra'],
  ['Dear Sir', undefined],
])('the format of %j is %s', (text, format) => {
  expect(detectFormat(bytes(text))).toBe(format)
})
