/** What libpq prints: tables and messages. */
import { describe, expect, it } from 'vitest'
import { printTable } from '../../../src/race/spec/print-table.ts'
import { wholeMessage } from '../../../src/race/spec/server-message.ts'

const table = (columns: string[], ...rows: (string | null)[][]) => printTable({ columns, rows })

describe('a table', () => {
  it('has numbers to the right and texts to the left', () => {
    expect(table(['id', 'name'], ['1', 'ab'], ['-10', 'c'])).toBe(
      ' id|name\n---+----\n  1|ab  \n-10|c   \n(2 rows)\n\n',
    )
  })
  it('shows NULL as nothing, which counts as neither', () => {
    expect(table(['n', 'x'], [null, null], ['12', ''])).toBe(' n|x\n--+-\n  | \n12| \n(2 rows)\n\n')
  })
  it.each(['E5', '1E', 'x1', '1,5', '2024-01-01 UTC', '1\n'])('takes %j for a text', (cell) => {
    expect(table(['a'], [cell], ['1']).startsWith('a')).toBe(true)
    expect(
      table(['long name'], [cell])
        .split('\n')[2]
        ?.startsWith(cell.split('\n')[0] as string),
    ).toBe(true)
  })
  it.each(['1e5', '1.5', '2024-01-01', '1 2'])('takes %j for a number', (cell) => {
    expect(table(['a name that is long'], [cell])).toContain(`${' '.repeat(19 - cell.length)}${cell}\n`)
  })
  it('counts widths in bytes', () => {
    expect(table(['a'], ['é']).split('\n').slice(0, 3)).toEqual(['a ', '--', 'é'])
  })
  it('without rows, and without columns', () => {
    expect(table(['a', 'b'])).toBe('a|b\n-+-\n(0 rows)\n\n')
    expect(table([], [])).toBe('')
  })
})

describe('a message', () => {
  const error = { severity: 'ERROR', message: 'no', detail: 'd', hint: 'h', where: 'w' }
  it('has its details, and its context when it is an error', () => {
    expect(wholeMessage(error, 'error', '')).toBe('ERROR:  no\nDETAIL:  d\nHINT:  h\nCONTEXT:  w\n')
    expect(wholeMessage({ ...error, severity: 'NOTICE' }, 'notice', '')).not.toContain('CONTEXT')
  })
  const at = (sql: string, position: number) =>
    wholeMessage({ severity: 'ERROR', message: 'no', position: `${position}` }, 'error', sql)
      .split('\n')
      .slice(1, 3)
  it('points into its line', () => {
    expect(at('select 1;\n\tselect é, x;', 21)).toEqual([
      'LINE 2:  select é, x;',
      `        ${' '.repeat(10)}^`,
    ])
  })
  it('cuts a long line around the place', () => {
    const sql = `select ${'a'.repeat(60)} x ${'b'.repeat(60)}`
    expect(at(sql, 1)).toEqual([`LINE 1: select ${'a'.repeat(53)}...`, '        ^'])
    const [line = '', caret = ''] = at(sql, 69)
    expect(line).toBe(`LINE 1: ...${'a'.repeat(49)} x ${'b'.repeat(8)}...`)
    expect(line[caret.indexOf('^')]).toBe('x')
  })
})
