import { describe, expect, it } from 'vitest'
import { refuseTransactionControl } from '../../src/store/transaction-control.ts'

const TRIGGER = `create trigger t after insert on a begin
  update a set n = case when n > 1 then 1 else 2 end;
  delete from b;
end`

/** Each text, and what it is refused for on SQLite and on PostgreSQL: `control`, `several` or nothing. */
const TEXTS: readonly (readonly [text: string, sqlite: string, postgres: string])[] = [
  ['select 1', '', ''],
  ['select 1;', '', ''],
  ['select 1; -- commit; rollback', '', ''],
  ["insert into a values ('x; commit')", '', ''],
  ['select "a; rollback" from a', '', ''],
  ['-- why\nselect 1', '', ''],
  ['/* name: find */ select 1', '', ''],
  ['rollback to savepoint a', '', ''],
  ['/* x */ rollback to a', '', ''],
  ['select 1; select 2', 'several', ''],
  ['; select 1', 'several', ''],
  [TRIGGER, '', ''],
  [`${TRIGGER};`, '', ''],
  [`${TRIGGER}; insert into a values (1)`, 'several', ''],
  ['create function f() returns int language sql begin atomic select 1; select 2; end', '', ''],
  ['do $$ begin delete from a; end $$', 'control', ''],
  ['/* /* a */ rollback */ select 1', 'control', ''],
  ['/* /* a */ */ rollback', '', 'control'],
  ["select E'it\\'s; rollback'", 'control', ''],
  ["select E'\\''; rollback; select 'x'", '', 'control'],
  ["select E'a''b\\'c; rollback'", 'control', ''],
  ["select name'\\'; rollback", 'control', 'control'],
  ['select $a$; rollback; $b$ $a$', 'control', ''],
  ['select $a$ $b$ $a$; rollback', 'control', 'control'],
  ['select a$b$; rollback; select c$b$', 'control', 'control'],
  ['select $1; rollback; select $1', 'control', 'control'],
  ['select [a;rollback], `b;rollback` from c', '', 'control'],
  ['select a[1]; rollback; select a[2]', 'control', 'control'],
  ["select 'never ended; rollback", '', ''],
  ['select 1 /* never ended; rollback', '', ''],
  ['commit', 'control', 'control'],
  ['commit;', 'control', 'control'],
  [';commit', 'control', 'control'],
  ['-- a\n  -- b\nCOMMIT', 'control', 'control'],
  ['/* a */ /* b */ abort', 'control', 'control'],
  ['delete from a; rollback', 'control', 'control'],
  ["delete from a where t = ';'; /* c */ end transaction; select 1", 'control', 'control'],
  ['-- a\nbegin; create trigger t after insert on a begin delete from b; end', 'control', 'control'],
]

describe('what a statement may be', () => {
  it.each(TEXTS)('%j', (text, sqlite, postgres) => {
    expect([refusal(text, 'sqlite'), refusal(text, 'postgres')]).toEqual([sqlite, postgres])
  })

  it('says the same of a text that it has seen, to each database for itself', () => {
    for (const [text, sqlite, postgres] of [...TEXTS].reverse())
      expect([refusal(text, 'postgres'), refusal(text, 'sqlite'), refusal(text, 'sqlite')], text).toEqual([
        postgres,
        sqlite,
        sqlite,
      ])
  })
})

function refusal(text: string, dialect: 'sqlite' | 'postgres'): string {
  try {
    refuseTransactionControl(text, dialect)
    return ''
  } catch (error) {
    expect(error).toMatchObject({ code: 'UNSUPPORTED', outcome: 'not-applied' })
    return (error as Error).message.includes('several statements') ? 'several' : 'control'
  }
}
