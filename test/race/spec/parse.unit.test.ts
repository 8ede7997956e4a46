/** PostgreSQL's isolation test language, on specs of our own. */
import { describe, expect, it } from 'vitest'
import { parseSpec } from '../../../src/race/spec/index.ts'
import { permutationsOf } from '../../../src/race/spec/permutations.ts'

const TWO = `
# a comment, with { braces } and "quotes"
setup { create table t (a int); }
setup {   vacuum t;   }
teardown {
  drop table t;
}
session s1
setup { begin; }
step a { select 'it''s "quoted"' }
step "B b""b" {}
teardown { rollback; }
session "step"
step c	{
	select 1; -- not # a comment of the language
	select 2;   }
`

it('reads the parts of a file, with SQL as it stands between its braces', () => {
  const spec = parseSpec(TWO)
  expect(spec.setups).toEqual(['create table t (a int);', 'vacuum t;'])
  expect(spec.teardown).toBe('\n  drop table t;\n')
  expect(spec.sessions).toEqual([
    {
      name: 's1',
      setup: 'begin;',
      teardown: 'rollback;',
      steps: [
        { name: 'a', sql: `select 'it''s "quoted"'`, session: 0 },
        { name: 'B b"b', sql: '', session: 0 },
      ],
    },
    {
      name: 'step',
      setup: undefined,
      teardown: undefined,
      steps: [
        { name: 'c', sql: '\n\tselect 1; -- not # a comment of the language\n\tselect 2;', session: 1 },
      ],
    },
  ])
})

it('reads files with the line ends of Windows and without a last line end', () => {
  const { sessions } = parseSpec('session s\r\nstep a { select 1; }\r\nstep b { }'.replaceAll('\n', '\r\n'))
  expect(sessions[0]?.steps.map(({ sql }) => sql)).toEqual(['select 1;', ''])
})

it('reads the markers of a permutation', () => {
  const spec = parseSpec(`
    session s1 step a { } step b { }
    session s2 step c { }
    permutation a(c, *, c notices 3) c b`)
  const c = { name: 'c', sql: '', session: 1 }
  expect(spec.permutations?.[0]?.map(({ step, blockers }) => [step.name, blockers])).toEqual([
    ['a', [{ kind: 'step', step: c }, { kind: 'once' }, { kind: 'notices', step: c, count: 3 }]],
    ['c', []],
    ['b', []],
  ])
  expect(spec.unused).toEqual([])
})

it('without permutations runs every interleaving, the first session first', () => {
  const spec = parseSpec('session s step a { } step b { } session t step c { }')
  const names = [...permutationsOf(spec)].map((steps) => steps.map(({ step }) => step.name).join(''))
  expect(names).toEqual(['abc', 'acb', 'cab'])
})

it('names the steps that no permutation has, in the order of the alphabet', () => {
  const spec = parseSpec('session s step z { } step B { } step a { } session t step c { } permutation c c')
  expect(spec.unused).toEqual(['B', 'a', 'z'])
})

describe('refuses', () => {
  it.each([
    ['', 'syntax error at line 1: the end of the file is not expected here'],
    ['setup { }\nteardown { }\n', 'syntax error at line 3: the end of the file is not expected here'],
    ['session s\n', 'syntax error at line 2: the end of the file is not expected here'],
    ['session s step a { }\nsetup { }', 'syntax error at line 2: "setup" is not expected here'],
    ['session session step a { }', 'syntax error at line 1: "session" is not expected here'],
    ['session s step a { } permutation', 'syntax error at line 1: the end of the file is not expected here'],
    ['session s step a { } permutation a()', 'syntax error at line 1: ")" is not expected here'],
    [
      'session s step a { } permutation a(*',
      'syntax error at line 1: the end of the file is not expected here',
    ],
    ['session s step a { } permutation a(a notices)', 'syntax error at line 1: ")" is not expected here'],
    ['session s\nstep a { select 1;\n\n', 'unterminated sql block at line 4'],
    ['session "s\nstep', 'unexpected newline in quoted identifier at line 1'],
    ['session\n"s', 'unterminated quoted identifier at line 2'],
    ['session s\nstep a { } ;', 'syntax error at line 2: unexpected character ";"'],
    ['session s step a { } session t step a { }', 'duplicate step name: a'],
    ['session s step a { } permutation a b', 'undefined step "b" specified in permutation'],
    [
      'session s step a { } permutation a(b)',
      'undefined blocking step "b" referenced in permutation step "a"',
    ],
    ['session s step a { } permutation a(a)', 'permutation step "a" cannot block on its own session'],
  ])('%j', (text, message) => {
    expect(() => parseSpec(text)).toThrow(expect.objectContaining({ code: 'RACE_SPEC_MALFORMED', message }))
  })
})
