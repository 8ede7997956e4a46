import { expect, it } from 'vitest'
import { oneLine, printable } from '../../src/core/printable.ts'

it('what a terminal would take for a command, or turns a text round, is shown', () => {
  expect(printable('a\u001b[31mb\u009b2J\u0000\r')).toBe('a\\u001b[31mb\\u009b2J\\u0000\\u000d')
  expect(printable('\u202eabc\u2066\u200f\u2028\ufeff')).toBe('\\u202eabc\\u2066\\u200f\\u2028\\ufeff')
})

it('everything else is left, lines and tabs too', () => {
  for (const text of ['a\n\tb', 'zażółć 日本 \u{1f600}', '<b>&"', '\\u001b'])
    expect(printable(text)).toBe(text)
})

it('one line is one line', () => {
  expect(oneLine(' a\r\n\t b\u2028c\u0007 ')).toBe('a b c\\u0007')
})
