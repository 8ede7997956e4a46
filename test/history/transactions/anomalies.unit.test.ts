import { describe, expect, it } from 'vitest'
import { checkHistory } from '../../../src/history/transactions/check.ts'
import { checkTransactions } from '../../../src/history/transactions/check-transactions.ts'
import { LEVELS, type Level } from '../../../src/history/transactions/levels.ts'
import { history } from './notation.ts'

const types = (lines: readonly string[], level: Level): string[] => [
  ...new Set(checkHistory(history(lines), { level }).anomalies.map((a) => a.type)),
]

describe('each anomaly is found by its name, at the weakest level that forbids it and not below', () => {
  const cases: [name: string, lines: readonly string[], forbiddenAt: Level, allowedAt: Level | undefined][] =
    [
      ['G0', ['A: w x 1@1, w y 1@2', 'B: w x 2@2, w y 2@1'], 'read-uncommitted', undefined],
      [
        'G0', // nobody saw 1 in y: it came after all that was seen there, and in x before
        ['A: a x 1, a y 1', 'B: a x 2, a y 2', 'C: l x [1 2]', 'D: l y [2]', 'E: a y 3'],
        'read-uncommitted',
        undefined,
      ],
      ['G1a', ['A!: w x 1', 'B: r x 1'], 'read-committed', 'read-uncommitted'],
      ['G1b', ['A: w x 1, w x 2', 'B: r x 1'], 'read-committed', 'read-uncommitted'],
      ['G1c', ['A: w x 1, r y 1', 'B: w y 1, r x 1'], 'read-committed', 'read-uncommitted'],
      ['internal', ['A: w x 1, r x 2', 'B: w x 2'], 'read-uncommitted', undefined],
      ['garbage', ['A: w x 1', 'B: r x 7'], 'read-uncommitted', undefined],
      ['future-read', ['A: r x 1, w x 1'], 'read-committed', 'read-uncommitted'],
      ['non-repeatable-read', ['A: w x 1', 'B: r x nil, r x 1'], 'read-atomic', 'read-committed'],
      ['fractured-read', ['A: w x 1, w y 1', 'B: r x 1, r y nil'], 'read-atomic', 'read-committed'],
      ['causal-violation', ['A: w x 1', 'B: r x 1, w y 1', 'C: r y 1, r x nil'], 'causal', 'read-atomic'],
      ['G-single', ['A: w x 1, w y 1', 'B: r x nil, r y 1'], 'snapshot-isolation', 'read-committed'],
      [
        'G-nonadjacent',
        ['A: w x 1', 'B: w y 1', 'C: r x 1, r y nil', 'D: r x nil, r y 1'],
        'snapshot-isolation',
        'causal',
      ],
      ['lost-update', ['A: r x nil, w x 1', 'B: r x nil, w x 2'], 'snapshot-isolation', 'causal'],
      ['G2-item', ['A: r x nil, w y 1', 'B: r y nil, w x 1'], 'repeatable-read', 'snapshot-isolation'],
      ['duplicate', ['A: a x 1', 'B: l x [1 1]'], 'read-uncommitted', undefined],
      [
        'incompatible-order',
        ['A: a x 1', 'B: a x 2', 'C: l x [1 2]', 'D: l x [2]'],
        'read-committed',
        'read-uncommitted',
      ],
      ['G-single-process', ['A: w x 1', 'A: r x nil'], 'strong-session-snapshot-isolation', 'serializable'],
      [
        'G-single-realtime',
        ['A[1,2]: w x 1', 'B[3,4]: r x nil'],
        'strict-serializable',
        'strong-session-serializable',
      ],
      [
        'cycle-in-every-order',
        ['A: w x 1, w y 1', 'B: w x 2, w y 2', 'C: r x 1, r y 2', 'D: r x 2, r y 1'],
        'snapshot-isolation',
        'read-committed',
      ],
    ]
  it.each(cases)('%s', (name, lines, forbiddenAt, allowedAt) => {
    expect(types(lines, forbiddenAt)).toContain(name)
    if (allowedAt !== undefined)
      expect(checkHistory(history(lines), { level: allowedAt })).toMatchObject({ verdict: 'valid' })
  })
})

it('what nobody read of a list comes after what was read, at every level', () => {
  const lines = ['A: a x 1, a y 1', 'B: a x 2, a y 2', 'C: l x [1 2]', 'D: l y [2]', 'E: a y 3']
  for (const level of LEVELS)
    expect(checkHistory(history(lines), { level }), level).toMatchObject({ verdict: 'invalid' })
})

describe('what is not known is not called valid', () => {
  it('a value that two transactions wrote makes the answer unknown, unless the version tells whose it was', () => {
    const twice = ['A: w x 1', 'B: w x 1', 'C: r x 1']
    expect(checkHistory(history(twice), { level: 'serializable' })).toMatchObject({
      verdict: 'unknown',
      reason: expect.stringContaining('several transactions wrote'),
    })
    const told = ['A: w x 1@1', 'B: w x 1@2', 'C: r x 1@2']
    expect(checkHistory(history(told), { level: 'serializable' })).toMatchObject({ verdict: 'valid' })
  })
  it('strict serializability without times is unknown, and invalid where no order explains the history', () => {
    expect(checkHistory(history(['A: w x 1', 'B: r x 1']), { level: 'strict-serializable' })).toMatchObject({
      verdict: 'unknown',
      reason: expect.stringContaining('does not tell when'),
    })
    const skew = ['A: r x nil, w y 1', 'B: r y nil, w x 1']
    expect(checkHistory(history(skew), { level: 'strict-serializable' })).toMatchObject({
      verdict: 'invalid',
    })
  })
  it('when time is up in the search, the answer says so', () => {
    const lines = ['A: w x 1, w y 1', 'B: w x 2, w y 2', 'C: r x 1, r y 2', 'D: r x 2, r y 1']
    expect(checkHistory(history(lines), { level: 'serializable', expired: () => true })).toMatchObject({
      verdict: 'unknown',
      reason: expect.stringContaining('time was up'),
    })
  })
})

describe('unanswered transactions', () => {
  it('count as committed once somebody saw a write of theirs', () => {
    expect(types(['A?: w x 1, w y 1', 'B: r x 1, r y nil'], 'serializable')).toContain('G-single')
  })
  it('may have had no effect', () => {
    expect(checkHistory(history(['A?: w x 1', 'B: r x nil']), { level: 'serializable' })).toMatchObject({
      verdict: 'valid',
    })
  })
  it('tell nothing by their reads', () => {
    expect(
      checkHistory(history(['A?: r x ?, w y 1', 'B: r y 1, w x 1']), { level: 'serializable' }),
    ).toMatchObject({ verdict: 'valid' })
  })
})

describe('explanations', () => {
  it('tell the cycle in words, with keys and values', () => {
    const { anomalies } = checkHistory(history(['A: w x 1, w y 1', 'B: r x nil, r y 1']), {
      level: 'snapshot-isolation',
    })
    const single = anomalies.find((a) => a.type === 'G-single')
    expect(single?.explanation).toContain('transaction 2 read x = nil, which transaction 1 replaced by 1')
    expect(single?.explanation).toContain('transaction 1 wrote y = 1, which transaction 2 read')
    expect(single?.steps?.map((s) => s.kind).sort()).toEqual(['rw', 'wr'])
  })
  it('give the shortest cycle', () => {
    const long = [
      'A: r a nil, w b 1',
      'B: r b nil, w c 1',
      'C: r c nil, w a 1',
      'D: r p nil, w q 1',
      'E: r q nil, w p 1, r a nil',
    ]
    const skew = checkHistory(history(long), { level: 'serializable' }).anomalies.find(
      (a) => a.type === 'G2-item',
    )
    expect(skew?.steps?.length).toBe(2)
    expect(skew?.explanation).toContain('write skew')
  })
  it('name the two transactions of a lost update', () => {
    const { anomalies } = checkTransactions(history(['A: r x nil, w x 1', 'B: r x nil, w x 2']), {
      model: 'rw-register',
    })
    const lost = anomalies.find((a) => a.type === 'lost-update')
    expect(lost?.explanation).toBe(
      'Transaction 1 and transaction 2 both read x = nil and both wrote x: one of the two updates is lost.',
    )
    expect(lost?.operations.map((o) => o.operations)).toEqual([
      ['r x nil', 'w x 1'],
      ['r x nil', 'w x 2'],
    ])
  })
})

describe('set', () => {
  const check = (lines: readonly string[], level: Level = 'serializable') =>
    checkTransactions(history(lines, 'adya', true), { model: 'set', level })
  it('additions commute and reads order them', () => {
    expect(check(['A: a x 1', 'B: a x 2', 'C: l x [2]', 'D: l x [1 2]'])).toMatchObject({ verdict: 'valid' })
    expect(check(['A: a x 1', 'B: a x 2', 'C: l x [2]', 'D: l x [1]'])).toMatchObject({
      verdict: 'invalid',
      anomalies: [expect.objectContaining({ type: 'G-nonadjacent' })],
    })
  })
  it('an element that nobody added, or that was rolled back, is told', () => {
    expect(check(['A: a x 1', 'B: l x [1 7]']).anomalies[0]?.type).toBe('garbage')
    expect(check(['A!: a x 1', 'B: l x [1]']).anomalies[0]?.type).toBe('G1a')
  })
})

describe('long-fork', () => {
  const fork = ['A: w x 1', 'B: w y 1', 'C: r x 1, r y nil', 'D: r x nil, r y 1']
  it('two reads that miss what the other saw', () => {
    const { verdict, anomalies } = checkTransactions(history(fork), { model: 'long-fork' })
    expect(verdict).toBe('invalid')
    expect(anomalies[0]).toMatchObject({
      type: 'long-fork',
      explanation: expect.stringContaining('saw the write of x and not that of y'),
    })
  })
  it('is allowed by causal consistency, and absent where reads agree', () => {
    expect(checkTransactions(history(fork), { model: 'long-fork', level: 'causal' })).toMatchObject({
      verdict: 'valid',
    })
    expect(checkTransactions(history(fork.slice(0, 3)), { model: 'long-fork' })).toMatchObject({
      verdict: 'valid',
    })
  })
  it('does not answer for keys that are written twice', () => {
    expect(
      checkTransactions(history(['A: w x 1', 'B: w x 2', 'C: r x 1']), { model: 'long-fork' }),
    ).toMatchObject({ verdict: 'unknown' })
  })
})

describe('bank', () => {
  const read = (value: unknown) => [
    { type: 'invoke', process: 0, f: 'read', value: null },
    { type: 'ok', process: 0, f: 'read', value },
  ]
  it('a total that changes is told, with the read', () => {
    const ops = [
      ...read({ a: 10, b: 90 }),
      { type: 'ok', process: 1, f: 'transfer', value: { from: 'a', to: 'b', amount: 5 } },
    ]
    expect(checkTransactions([...ops, ...read({ a: 5, b: 95 })], { model: 'bank' })).toMatchObject({
      verdict: 'valid',
      operations: 3,
    })
    expect(checkTransactions([...ops, ...read({ a: 5, b: 90 })], { model: 'bank' })).toMatchObject({
      verdict: 'invalid',
      anomalies: [
        {
          type: 'wrong-total',
          explanation: expect.stringContaining('add up to 95'),
          operations: [
            { status: 'ok', operations: [expect.stringMatching(/^read \{ \w+: \d+, \w+: \d+ \}$/)] },
          ],
        },
      ],
    })
    expect(checkTransactions(ops, { model: 'bank', total: 120 }).anomalies[0]?.type).toBe('wrong-total')
  })
  it('a negative balance is told unless it is allowed', () => {
    expect(checkTransactions(read({ a: -5, b: 105 }), { model: 'bank' }).anomalies[0]?.type).toBe(
      'negative-balance',
    )
    expect(
      checkTransactions(read({ a: -5, b: 105 }), { model: 'bank', negativeBalances: true }),
    ).toMatchObject({ verdict: 'valid' })
  })
  it('without a read nothing is known', () => {
    expect(
      checkTransactions([{ type: 'ok', process: 0, f: 'transfer', value: {} }], { model: 'bank' }),
    ).toMatchObject({ verdict: 'unknown' })
  })
})

it('an anomaly shows its writes as they were recorded', () => {
  const shown = (model: 'list-append' | 'set', write: string) => {
    const event = (process: number, type: 'ok' | 'fail', value: unknown) => ({
      process,
      type,
      f: 'txn',
      value,
    })
    const events = [event(0, 'fail', [[write, 'x', 1]]), event(1, 'ok', [['r', 'x', [1]]])]
    return checkTransactions(events, { model }).anomalies[0]?.operations.map(({ operations }) => operations)
  }
  expect(shown('list-append', 'append')).toEqual([['append x 1'], ['r x [1]']])
  expect(shown('set', 'add')).toEqual([['add x 1'], ['r x [1]']])
})
