import { describe, expect, it } from 'vitest'
import { checkTransactions, parseText } from '../../../../src/history/transactions/index.ts'
import { verdict } from './verdict.ts'

describe('text, in blocks', () => {
  it('sessions, transactions and operations', () => {
    const h = parseText('w 0 0\nw 1 1\n---\nr 0 0\n=====\n\n# a comment\nr 1 1\n')
    expect([h.transactions, h.sessions, h.kind.length]).toEqual([3, 2, 4])
    expect(h.showTransaction(1)).toBe('the transaction at line 4')
    expect(verdict(h)).toBe('valid')
  })
  it('an order within a session counts at every level', () => {
    expect(verdict(parseText('r 1 1\n-\nw 0 0\n=\nr 0 0\n-\nw 1 1'), { level: 'read-committed' })).toBe(
      'invalid',
    )
  })
  it.each([
    ['w 0 0\nx 1 1', 2, 'expected "r KEY VALUE"'],
    ['w 0 0\n---\nr 0', 3, 'expected "r KEY VALUE"'],
    ['w 0 0 0', 1, 'expected'],
    ['', 1, 'no operation'],
    ['---\n===', 2, 'no operation'],
  ])('%j is refused with line and reason', (text, line, problem) => {
    expect(() => parseText(text)).toThrow(
      expect.objectContaining({ code: 'HISTORY_MALFORMED', line, problem: expect.stringContaining(problem) }),
    )
  })
  it('numbers beyond 2^53 are kept whole', () => {
    expect(verdict(parseText('w 1 9007199254740993\n=\nr 1 9007199254740993\n=\nw 1 9007199254740992'))).toBe(
      'valid',
    )
    expect(verdict(parseText('w 1 9007199254740993\n=\nr 1 9007199254740992'))).toBe('invalid')
  })
})

describe('text, one operation with session and transaction a line', () => {
  it('groups operations, also when sessions are interleaved', () => {
    const h = parseText('w(1,1,0,0)\nr(1,1,1,1)\nw(2,1,0,2)\nr(2,1,1,3)\n')
    expect([h.transactions, h.sessions]).toEqual([4, 2])
    expect(verdict(h)).toBe('valid')
  })
  it('0 that nobody wrote is the initial state', () => {
    expect(verdict(parseText('r(1,0,0,0)\nw(1,5,1,1)'))).toBe('valid')
    expect(verdict(parseText('r(1,7,0,0)\nw(1,5,1,1)'))).toBe('invalid')
  })
  it('transaction -1 was rolled back', () => {
    const h = parseText('w(1,5,0,-1)\nr(1,5,1,1)')
    expect(checkTransactions(h, { model: 'rw-register' }).anomalies[0]?.type).toBe('G1a')
  })
  it.each([
    ['w(1,1,0,0)\nr(1,1,1)', 2],
    ['w(1,1,0,0)\nr(1,1,x,1)', 2],
    ['r(1,1,1,1)\nu(1,1,1,1)', 2],
  ])('%j is refused with its line', (text, line) => {
    expect(() => parseText(text)).toThrow(expect.objectContaining({ code: 'HISTORY_MALFORMED', line }))
  })
})
