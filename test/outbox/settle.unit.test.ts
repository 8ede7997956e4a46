import type { PublishResult } from 'holdfast/broker'
import { describe, expect, it } from 'vitest'
import type { ReadyRow } from '../../src/outbox/relay-statements.ts'
import { settle } from '../../src/outbox/settle.ts'

/** `'a+ a! a? -+'`: key and result (stored, refused, unknown, or none at all) of each message; `-` has no key. */
function judge(text: string): string {
  const parts = text.split(' ')
  const rows = parts.map(
    (part, i) => ({ message_id: `${part[0]}${i}`, key: part[0] === '-' ? null : part[0] }) as ReadyRow,
  )
  const kinds: Record<string, PublishResult> = {
    '+': { kind: 'stored' },
    '!': { kind: 'refused', error: new Error('no') },
    '?': { kind: 'unknown', error: new Error('silence') },
  }
  const results = parts.map((part) => kinds[part[1] as string]).filter((r) => r !== undefined)
  const { stored, refused, unknown } = settle(rows, results)
  const ids = (list: readonly ReadyRow[]) => list.map((row) => row.message_id).join(' ')
  return `${ids(stored)} | ${ids(refused.map((r) => r.row))} | ${unknown?.row.message_id ?? ''}`
}

describe('settle', () => {
  it.each([
    ['all stored', 'a+ b+ -+', 'a0 b1 -2 |  | '],
    ['one refused, the rest of its key is not judged', 'a+ a! a? b+', 'a0 b3 | a1 | '],
    ['a silence with no failure before it is the broker’s', 'a? a? b?', ' |  | a0'],
    ['a silence after a failure of its key is not', 'a! a? b+', 'b2 | a0 | '],
    ['messages without a key fail one by one', '-! -! -+', '-2 | -0 -1 | '],
    ['a missing result is a silence', 'a+ b', 'a0 |  | b1'],
  ])('%s', (_title, text, expected) => {
    expect(judge(text)).toBe(expected)
  })
})
