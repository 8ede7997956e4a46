import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { holdfast } from './run.ts'

describe('holdfast id', () => {
  it('decode answers instance and sequence for every form', async () => {
    const cases: [string, string, object][] = [
      ['4784898791635981200', 'multiplicative', { instance: 42, sequence: '1' }],
      ['5hSt0VheoqW', 'multiplicative', { instance: 42, sequence: '1' }],
      ['ORD_5hSt0VheoqW', 'multiplicative', { instance: 42, sequence: '1' }],
      ['44SV035WTH4WG', 'multiplicative', { instance: 42, sequence: '1' }],
      ['44sv0-35wth-4wg', 'multiplicative', { instance: 42, sequence: '1' }],
      ['6717605060875388645', 'feistel', { instance: 42, sequence: '1' }],
      ['ORD_5TEDT6RHDG1Q5', 'feistel', { instance: 42, sequence: '1' }],
    ]
    for (const [id, permutation, wanted] of cases) {
      const answer = await holdfast(['id', 'decode', id, '--permutation', permutation, '--json'])
      expect([answer.code, answer.json()]).toEqual([0, wanted])
    }
  })

  it('next makes ids that decode undoes, with keys of one’s own', async () => {
    using folder = tempFolder('id-cli')
    const state = folder.file('ids.state')
    const keys = ['--permutation', 'feistel', '--key', '0x1234', '--rounds', '8']
    const form = ['--text', 'base62', '--prefix', 'ORD', '--check-digit']
    const made = await holdfast([
      'id',
      'next',
      '--state',
      state,
      '--instance',
      '7',
      '--count',
      '3',
      '--json',
      ...form,
      ...keys,
    ])
    expect(made.code).toBe(0)
    const { ids } = made.json() as { ids: string[] }
    expect(ids).toHaveLength(3)
    const decoded = await Promise.all(ids.map((id) => holdfast(['id', 'decode', id, '--json', ...keys])))
    expect(decoded.map((d) => d.json())).toEqual([0, 1, 2].map((n) => ({ instance: 7, sequence: `${n}` })))
    expect(readFileSync(state, 'latin1')).toBe('3')
    const inspected = await holdfast(['id', 'inspect', '--state', state, '--json'])
    expect(inspected.json()).toEqual({ next: '3', inUse: false, hasRecord: true })
    expect((await holdfast(['id', 'inspect', ids[0] as string, '--json', ...keys])).json()).toMatchObject({
      givenAs: 'base62',
      prefix: 'ORD',
      checkDigit: true,
      instance: 7,
      sequence: '0',
    })
  })

  it('says what is wrong', async () => {
    const codes = async (...argv: string[]): Promise<number> => (await holdfast(['id', ...argv])).code
    expect(await codes('next')).toBe(64)
    expect(await codes('next', '--state', 'x', '--instance', '65536')).toBe(64)
    expect(await codes('next', '--state', 'x', '--check-digit')).toBe(64)
    expect(await codes('decode', '1', '--permutation', 'rot13')).toBe(64)
    expect(await codes('decode', '1', '--key', '1')).toBe(64)
    expect(await codes('decode', '1', '--multiplier', '3')).toBe(64)
    expect(await codes('inspect')).toBe(64)
    for (const id of ['12345678901', '18446744073709551616', 'hello', 'ORD_']) {
      const answer = await holdfast(['id', 'decode', id, '--json'])
      expect([answer.code, answer.json().error.code]).toEqual([1, 'PAYLOAD_INVALID'])
    }
    const missing = await holdfast(['id', 'inspect', '--state', '/nowhere/ids.state', '--json'])
    expect([missing.code, missing.json().error.code]).toEqual([1, 'ID_STATE_INVALID'])
  })
})
