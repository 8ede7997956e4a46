import { describe, expect, it } from 'vitest'
import { parseDbcop } from '../../../../src/history/transactions/index.ts'
import { utf8, verdict } from './verdict.ts'

describe('dbcop', () => {
  const skew = [
    [
      {
        events: [
          ['r', 'x', null],
          ['w', 'y', 1],
        ],
        committed: true,
      },
    ],
    [
      {
        events: [
          ['r', 'y', null],
          ['w', 'x', 1],
        ],
        committed: true,
      },
    ],
  ]
  it('JSON of the second generation, compact and tagged', () => {
    expect(verdict(parseDbcop(utf8(JSON.stringify(skew))))).toBe('invalid')
    const tagged = [
      [
        {
          events: [{ Write: { variable: 0, version: 1 } }, { Read: { variable: 1, version: null } }],
          committed: true,
        },
      ],
    ]
    expect(verdict(parseDbcop(utf8(JSON.stringify({ data: tagged }))))).toBe('valid')
  })
  it('JSON of the first generation', () => {
    const event = (write: boolean, variable: number, value: number) => ({
      write,
      variable,
      value,
      success: true,
    })
    const data = [
      [{ events: [event(true, 1, 1)], success: true }],
      [{ events: [event(true, 1, 2)], success: false }],
      [{ events: [event(false, 1, 1), event(false, 2, 0)], success: true }],
    ]
    expect(verdict(parseDbcop(utf8(JSON.stringify({ params: {}, data }))))).toBe('valid')
    data[2]?.[0]?.events.push(event(false, 1, 2))
    expect(verdict(parseDbcop(utf8(JSON.stringify({ params: {}, data }))))).toBe('invalid')
  })
  it('its text notation', () => {
    expect(verdict(parseDbcop(utf8('// s1\n[x:=1 y:=1] [z==?]\n---\n[x==1 y==1]\n')))).toBe('valid')
    expect(verdict(parseDbcop(utf8('[x:=1 y:=1]\n---\n[x==1 y==?]\n')))).toBe('invalid')
    expect(verdict(parseDbcop(utf8('[x:=1]!\n---\n[x==1]\n')), { level: 'read-committed' })).toBe('invalid')
  })
  it('the binary file', () => {
    expect(
      verdict(
        parseDbcop(
          bincode([
            [[[true, 1, 7]]],
            [
              [
                [false, 1, 7],
                [false, 2, 0],
              ],
            ],
          ]),
        ),
      ),
    ).toBe('valid')
    expect(verdict(parseDbcop(bincode([[[[true, 1, 7]]], [[[false, 1, 8]]]])))).toBe('invalid')
  })
  it('a binary file that is cut short is refused with the byte', () => {
    const whole = bincode([[[[true, 1, 7]]]])
    expect(() => parseDbcop(whole.subarray(0, whole.length - 3))).toThrow(
      /malformed history, byte \d+: the file ends/,
    )
    const longer = new Uint8Array([...whole, 1])
    expect(() => parseDbcop(longer)).toThrow(/1 bytes follow/)
  })
  it.each([
    ['[x=1]', 'expected "x:=1"'],
    ['x:=1', 'expected "[variable'],
    ['{"data": 1}', 'the history must be an array'],
    ['[[{"events": [["q", 1, 1]], "committed": true}]]', 'session 0, transaction 0, event 0'],
    ['[[{"events": [["w", 1, null]], "committed": true}]]', 'the version is missing'],
    ['{"data": [', 'no JSON'],
  ])('%j is refused', (text, problem) => {
    expect(() => parseDbcop(utf8(text))).toThrow(
      expect.objectContaining({ code: 'HISTORY_MALFORMED', message: expect.stringContaining(problem) }),
    )
  })
})

function bincode(sessions: readonly (readonly (readonly [boolean, number, number][])[])[]): Uint8Array {
  const bytes: number[] = []
  const u64 = (n: number): void => {
    for (let i = 0; i < 8; i++) bytes.push(i < 4 ? (n >>> (8 * i)) & 255 : 0)
  }
  for (let i = 0; i < 5; i++) u64(i)
  for (const text of ['info', 'start', 'end']) {
    u64(text.length)
    bytes.push(...utf8(text))
  }
  u64(sessions.length)
  for (const session of sessions) {
    u64(session.length)
    for (const events of session) {
      u64(events.length)
      for (const [write, variable, value] of events) {
        bytes.push(write ? 1 : 0)
        u64(variable)
        u64(value)
        bytes.push(1)
      }
      bytes.push(1)
    }
  }
  return new Uint8Array(bytes)
}
