/** A line's text is put together once, and found again only where nothing in it has changed. */
import { type Sql, sql } from 'holdfast'
import { describe, expect, it } from 'vitest'
import { compileSql, type Spelling } from '../../src/store/sql.ts'

const dollars: Spelling = { quoteName: (name) => `"${name}"`, placeholder: (position) => `$${position}` }
const marks: Spelling = { quoteName: (name) => `\`${name}\``, placeholder: () => '?' }

/** One line for all of them, as a statement of a capability is for all stores. */
const find = (table: Sql, id: number, tail: Sql) => sql`select ${7} from ${table} where id = ${id}${tail}`

const jobs = sql.ident('a_jobs')
const others = sql.ident('b_jobs')
const nothing = sql.raw('')
const locked = sql.raw(' for update')

describe('the text of one line', () => {
  it('follows the fragments that it is given, in whatever order they come', () => {
    const cases: [Sql, Sql, string][] = [
      [jobs, nothing, 'select $1 from "a_jobs" where id = $2'],
      [others, nothing, 'select $1 from "b_jobs" where id = $2'],
      [jobs, locked, 'select $1 from "a_jobs" where id = $2 for update'],
      [others, locked, 'select $1 from "b_jobs" where id = $2 for update'],
      [sql.ident('a_jobs'), sql.raw(' limit 1'), 'select $1 from "a_jobs" where id = $2 limit 1'],
    ]
    for (const [table, tail, text] of [...cases, ...cases.reverse()])
      expect(compileSql(find(table, 5, tail), dollars)).toEqual({ text, values: [7, 5] })
  })

  it('follows the dialect', () => {
    expect(compileSql(find(jobs, 1, nothing), dollars).text).toBe('select $1 from "a_jobs" where id = $2')
    expect(compileSql(find(jobs, 1, nothing), marks).text).toBe('select ? from `a_jobs` where id = ?')
  })

  it('follows fragments with values in them, which may be as many as they like', () => {
    const among = (ids: number[]) =>
      find(jobs, 1, sql` and kind in (${sql.join(ids.map((id) => sql`${id}`))}) and x = ${'y'}`)
    for (const ids of [[3], [3, 4, 5], [6]])
      expect(compileSql(among(ids), dollars)).toEqual({
        text: `select $1 from "a_jobs" where id = $2 and kind in (${ids.map((_, i) => `$${i + 3}`).join(', ')}) and x = $${ids.length + 3}`,
        values: [7, 1, ...ids, 'y'],
      })
  })

  it('is a fragment of another line, with its own fragments', () => {
    const inner = sql`(select 1 from ${others})`
    expect(compileSql(find(jobs, 2, sql` and exists ${inner}`), dollars).text).toBe(
      'select $1 from "a_jobs" where id = $2 and exists (select 1 from "b_jobs")',
    )
    expect(compileSql(sql`${jobs}`, dollars)).toEqual({ text: '"a_jobs"', values: [] })
  })
})
