import { describe, expect, it } from 'vitest'
import { checkHistory as checkAnyHistory } from '../../../../src/history/index.ts'
import {
  checkTransactions,
  JsonLinesScanner,
  type Level,
  type MicroOpModel,
  type TransactionHistory,
  transactionsFromOperations,
} from '../../../../src/history/transactions/index.ts'
import { utf8, verdict } from './verdict.ts'

/** Both ways in, from an array and from JSON lines, must give the same history. */
function both(lines: readonly object[], model: MicroOpModel): TransactionHistory[] {
  const scanner = new JsonLinesScanner(model)
  const text = lines.map((l) => `${JSON.stringify(l)}\n`).join('')
  // In pieces of seven bytes, so that lines are cut anywhere.
  const bytes = utf8(text)
  for (let i = 0; i < bytes.length; i += 7) scanner.push(bytes.slice(i, i + 7))
  const numbered = lines.map((l, i) => ({ ...(l as { type: string }), line: i + 1 }))
  return [scanner.finish(), transactionsFromOperations(numbered, model)]
}

const shown = (h: TransactionHistory): unknown =>
  Array.from({ length: h.transactions }, (_, t) => ({
    name: h.showTransaction(t),
    session: h.showSession(h.session[t] as number),
    status: h.status[t],
    ops: Array.from({ length: (h.first[t + 1] as number) - (h.first[t] as number) }, (_, i) => {
      const op = (h.first[t] as number) + i
      const value = h.value[op] as number
      const list = h.kind[op] === 2
      return [
        h.kind[op],
        h.showKey(h.key[op] as number),
        list
          ? Array.from(h.items.subarray(h.listFirst[value], h.listFirst[value + 1]), (v) => h.showValue(v))
          : h.showValue(value),
        h.version?.[op] ?? Number.NaN,
      ]
    }),
  })).sort((a, b) => (a.name < b.name ? -1 : 1))

describe('EDN, from the file to the verdict', () => {
  const edn = (text: string, options: { model: 'list-append' | 'rw-register'; level: Level }) =>
    checkAnyHistory({ bytes: utf8(text) }, options)
  it("Elle's example without processes and names of operations", () => {
    const text = `; the example of the paper, shortened
{:index 0 :type :invoke :value [[:append 253 1] [:append 255 2]]}
{:index 1 :type :ok :value [[:append 253 1] [:append 255 2]]}
{:index 2 :type :invoke, :value [[:append 255 8] [:r 253 nil]]}
{:index 3 :type :ok, :value [[:append 255 8] [:r 253 [1]]]}
{:index 4 :type :invoke, :value [[:r 255 nil] [:r 253 nil]]}
{:index 5 :type :ok, :value [[:r 255 [2 8]] [:r 253 nil]]}`
    const { verdict, anomalies } = edn(text, { model: 'list-append', level: 'serializable' })
    expect([verdict, anomalies[0]?.type]).toEqual(['invalid', 'G-single'])
    expect(edn(text, { model: 'list-append', level: 'read-committed' }).verdict).toBe('valid')
  })
  it('a vector of tagged operations, with a nemesis and a crash', () => {
    const text = `[#jepsen.history.Op{:index 0, :type :invoke, :process 0, :f :txn, :value [[:r :x nil] [:w :y 1]]}
 #jepsen.history.Op{:index 1, :type :invoke, :process 1, :f :txn, :value [[:r :y nil] [:w :x 1]]}
 #jepsen.history.Op{:index 2, :type :info, :process :nemesis, :f :start, :value {"n1" #{"n2"}}}
 #jepsen.history.Op{:index 3, :type :ok, :process 0, :f :txn, :value [[:r :x nil] [:w :y 1]]}
 #jepsen.history.Op{:index 4, :type :info, :process 1, :f :txn, :value [[:r :y nil] [:w :x 1]], :error [:timeout "boom"]}
 #jepsen.history.Op{:index 5, :type :invoke, :process 6, :f :txn, :value [[:r :x nil] [:r :y nil]]}
 #jepsen.history.Op{:index 6, :type :ok, :process 6, :f :txn, :value [[:r :x 1] [:r :y 1]]}]`
    expect(edn(text, { model: 'rw-register', level: 'strict-serializable' })).toMatchObject({
      verdict: 'valid',
      operations: 3,
    })
    expect(
      edn(text.replace('[:r :y 1]]}]', '[:r :y nil]]}]'), {
        model: 'rw-register',
        level: 'strict-serializable',
      }),
    ).toMatchObject({ verdict: 'invalid' })
  })
})

describe('operations as Jepsen records them', () => {
  const registers = [
    {
      index: 0,
      process: 0,
      type: 'invoke',
      f: 'txn',
      value: [
        ['r', 'x', null],
        ['w', 'y', 1],
      ],
    },
    {
      index: 1,
      process: 1,
      type: 'invoke',
      f: 'txn',
      value: [
        ['r', 'y', null],
        ['w', 'x', 1],
      ],
    },
    { index: 2, process: 'nemesis', type: 'info', f: 'kill', value: null },
    {
      index: 3,
      process: 0,
      type: 'ok',
      f: 'txn',
      value: [
        ['r', 'x', null],
        ['w', 'y', 1],
      ],
      error: 'a "quoted" \\ thing',
    },
    {
      index: 4,
      process: 1,
      type: 'ok',
      f: 'txn',
      value: [
        ['r', 'y', null],
        ['w', 'x', 1],
      ],
    },
    { index: 5, process: 2, type: 'invoke', f: 'txn', value: [['w', 'x', 9]] },
    { index: 6, process: 2, type: 'fail', f: 'txn', value: [['w', 'x', 9]] },
    {
      index: 7,
      process: 2,
      type: 'invoke',
      f: 'txn',
      value: [
        ['w', 'z', 3],
        ['r', 'x', null],
      ],
    },
    { index: 8, process: 2, type: 'info', f: 'txn', value: null, error: 'timeout' },
    { index: 9, process: 3, type: 'invoke', f: 'txn', value: [['r', 'z', null]] },
    { index: 10, process: 3, type: 'ok', f: 'txn', value: [['r', 'z', 3, 1]] },
    { index: 11, process: 4, type: 'invoke', f: 'txn', value: [['w', 'z', 4, 2]] },
  ]
  it('are read alike from an array and from JSON lines in pieces', () => {
    const [scanned, converted] = both(registers, 'rw-register') as [TransactionHistory, TransactionHistory]
    expect(shown(scanned)).toEqual(shown(converted))
    expect(Array.from(scanned.status)).toEqual([0, 0, 1, 2, 0, 2])
    for (const h of [scanned, converted]) {
      const { verdict, anomalies } = checkTransactions(h, { model: 'rw-register' })
      expect([verdict, anomalies[0]?.type]).toEqual(['invalid', 'G2-item'])
    }
  })
  it('list-append: an example of the Elle paper is not serializable', () => {
    const lines = [
      [
        ['append', 253, 1],
        ['append', 253, 3],
        ['append', 253, 4],
        ['append', 255, 2],
        ['append', 255, 3],
        ['append', 255, 4],
        ['append', 255, 5],
        ['append', 256, 1],
        ['append', 256, 2],
      ],
      [
        ['append', 255, 8],
        ['r', 253, [1, 3, 4]],
      ],
      [
        ['append', 256, 4],
        ['r', 255, [2, 3, 4, 5, 8]],
        ['r', 256, [1, 2, 4]],
        ['r', 253, [1, 3, 4]],
      ],
      [
        ['append', 250, 10],
        ['r', 253, [1, 3, 4]],
        ['r', 255, [2, 3, 4, 5]],
        ['append', 256, 3],
      ],
    ].map((value) => ({ type: 'ok', value }))
    for (const h of both(lines, 'list-append')) {
      const { anomalies } = checkTransactions(h, { model: 'list-append' })
      expect(anomalies.map((a) => a.type)).toContain('G-single')
      expect(verdict(h, { model: 'list-append', level: 'read-committed' })).toBe('valid')
      // Operations that name no process are no session.
      expect(h.sessions).toBe(4)
    }
  })
  it('a history of Elle that snapshot isolation allows and serializability does not', () => {
    const lines = [
      [2, [['append', 9, 2]]],
      [
        4,
        [
          ['append', 8, 1],
          ['r', 9, null],
        ],
      ],
      [
        7,
        [
          ['r', 6, null],
          ['r', 8, null],
          ['append', 9, 5],
        ],
      ],
      [
        9,
        [
          ['append', 6, 2],
          ['r', 9, [2]],
        ],
      ],
    ].map(([process, value]) => ({ type: 'ok', process, f: 'txn', value }))
    for (const h of both(lines, 'list-append')) {
      expect(verdict(h, { model: 'list-append', level: 'snapshot-isolation' })).toBe('valid')
      expect(checkTransactions(h, { model: 'list-append' }).anomalies.map((a) => a.type)).toEqual(['G2-item'])
    }
  })
  it('keywords and sets of an EDN reader are understood', () => {
    const keyword = (name: string) => ({ name })
    const ops = [
      { type: keyword('ok'), process: 0, f: keyword('txn'), value: [[keyword('add'), keyword('x'), 1]] },
      { type: ':ok', process: 1, f: ':txn', value: [[':r', keyword('x'), new Set([1])]] },
    ]
    expect(checkTransactions(ops, { model: 'set' })).toMatchObject({ verdict: 'valid', operations: 2 })
  })
  it.each([
    [{ type: 'done', process: 0, value: [] }, 'type must be'],
    [{ type: 'ok', process: 0, f: 'txn', value: 7 }, 'list of micro-operations'],
    [{ type: 'ok', process: 0, f: 'txn', value: [['append', 1, 1]] }, 'does not belong to rw-register'],
    [{ type: 'ok', process: 0, f: 'txn', value: [['r']] }, 'micro-operation'],
    [{ type: 'ok', process: 0, f: 'txn', value: [['w', 1, null]] }, 'a write has no value'],
    [{ type: 'ok', process: 0, f: 'txn', value: [['w', 1, 1, 'seven']] }, 'a version must be a number'],
  ])('%j is refused, with its line', (line, problem) => {
    const good = { type: 'ok', process: 5, f: 'txn', value: [['w', 1, 1]] }
    const expected = expect.objectContaining({
      code: 'HISTORY_MALFORMED',
      line: 2,
      problem: expect.stringContaining(problem),
    })
    const scanner = new JsonLinesScanner('rw-register')
    expect(() => {
      scanner.push(utf8(`${JSON.stringify(good)}\n${JSON.stringify(line)}\n`))
      scanner.finish()
    }).toThrow(expected)
    expect(() =>
      transactionsFromOperations(
        [good, line].map((l, i) => ({ ...l, line: i + 1 })),
        'rw-register',
      ),
    ).toThrow(expected)
  })
  it('numbers beyond 2^53 are kept whole', () => {
    const scanner = new JsonLinesScanner('rw-register')
    const line = (f: string, value: string) =>
      utf8(
        `{"type":"ok","process":1,"f":"txn","value":[["${f}",1,${value}]],"note":"1234567890123456789, "}\n`,
      )
    scanner.push(line('w', '9007199254740993'))
    scanner.push(line('r', '9007199254740992'))
    const { anomalies } = checkTransactions(scanner.finish(), { model: 'rw-register' })
    expect(anomalies.map((a) => a.explanation)).toEqual([
      'Line 2 read 1 = 9007199254740992, which nobody wrote.',
    ])
  })
  it('a line that is no JSON, and a process that sends twice, are refused', () => {
    const scan = (text: string) => () => {
      const scanner = new JsonLinesScanner('rw-register')
      scanner.push(utf8(text))
      scanner.finish()
    }
    expect(scan('{"type":"ok"\n')).toThrow(/line 1: no JSON/)
    expect(scan('')).toThrow(/no operation/)
    const sent = '{"process":1,"type":"invoke","f":"txn","value":[["w",1,1]]}\n'
    expect(scan(sent + sent)).toThrow(/line 2: process 1 sends an operation while another \(line 1\)/)
  })
})

it('a client may be called catalog', () => {
  const value = [['w', 'x', 1]]
  const lines = [
    { process: 'catalog', type: 'ok', f: 'txn', value },
    { process: 'log', type: 'ok', f: 'txn', value },
    { process: 'nemesis-free', type: 'ok', f: 'txn', value },
  ]
  for (const h of both(lines, 'rw-register')) {
    expect(shown(h)).toMatchObject([{ session: 'catalog' }, { session: 'nemesis-free' }])
  }
})
