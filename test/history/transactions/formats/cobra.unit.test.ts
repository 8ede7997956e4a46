import { describe, expect, it } from 'vitest'
import { checkTransactions, parseCobra } from '../../../../src/history/transactions/index.ts'
import { verdict } from './verdict.ts'

describe('cobra', () => {
  it('one log per client', () => {
    const logs = [
      {
        name: 'T1.log',
        bytes: cobra([
          ['S', 1],
          ['R', 0xdeadbeef, 0xdeadbeef, 10, 0],
          ['W', 100, 20, 5],
          ['C', 1],
        ]),
      },
      {
        name: 'T2.log',
        bytes: cobra([
          ['S', 2],
          ['R', 1, 100, 20, 5],
          ['W', 101, 10, 5],
          ['C', 2],
        ]),
      },
    ]
    expect(verdict(parseCobra(logs))).toBe('valid')
  })
  it('write skew between two clients', () => {
    const client = (id: number, reads: number, writes: number) =>
      cobra([
        ['S', id],
        ['R', 0xbebeebee, 0xbebeebee, reads, 0],
        ['W', 100 + id, writes, 0],
        ['C', id],
      ])
    const logs = [
      { name: 'a.log', bytes: client(1, 10, 20) },
      { name: 'b.log', bytes: client(2, 20, 10) },
    ]
    expect(checkTransactions(parseCobra(logs), { model: 'rw-register' })).toMatchObject({
      verdict: 'invalid',
      anomalies: [{ type: 'G2-item', explanation: expect.stringContaining('write skew') }],
    })
  })
  it.each([
    ['a log that ends inside a record', [['S', 1]], -2, /ends in the middle/],
    [
      'a commit of another transaction',
      [
        ['S', 1],
        ['C', 2],
      ],
      0,
      /byte 9: transaction 2 commits inside transaction 1/,
    ],
    ['a write outside', [['W', 1, 2, 3]], 0, /outside of a transaction/],
    [
      'an abort',
      [
        ['S', 1],
        ['A', 1],
      ],
      0,
      /aborted/,
    ],
  ] as [string, [string, ...number[]][], number, RegExp][])(
    '%s is refused with the byte',
    (_, records, cut, problem) => {
      const bytes = cobra(records)
      expect(() => parseCobra([{ name: 'a.log', bytes: bytes.subarray(0, bytes.length + cut) }])).toThrow(
        problem,
      )
    },
  )
})

function cobra(records: readonly (readonly [string, ...number[]])[]): Uint8Array {
  const bytes: number[] = []
  for (const [letter, ...numbers] of records) {
    bytes.push(letter.charCodeAt(0))
    for (const n of numbers) {
      const view = new DataView(new ArrayBuffer(8))
      view.setBigInt64(0, BigInt(n))
      bytes.push(...new Uint8Array(view.buffer))
    }
  }
  return new Uint8Array(bytes)
}
