import { describe, expect, it } from 'vitest'
import { parseAge, printAge } from '../../src/cli/age.ts'
import { commands } from '../../src/cli/commands.ts'
import { describeError } from '../../src/cli/describe-error.ts'
import { parse } from '../../src/cli/parse.ts'
import { LockEngineError } from '../../src/lock/index.ts'
import { holdfast } from './run.ts'

describe('the command line', () => {
  it.each(commands.filter((c) => 'run' in c).map((c) => c.name))(
    '%s --help shows examples and ends with 0',
    async (name) => {
      const { code, out, err } = await holdfast([...name.split(' '), '--help'])
      expect({ code, err }).toEqual({ code: 0, err: '' })
      expect(out).toMatch(/^Usage: holdfast /)
      expect(out).toMatch(/Examples:\n {2}# .+\n {2}holdfast /)
      expect(out).toMatch(/--json /)
      expect(out).toMatch(/Exit codes: 0 /)
    },
  )

  it.each(commands.flatMap((c) => ('run' in c ? c.examples : [])))(
    'the example "$line" is understood',
    ({ line }) => {
      const [program, ...argv] = line.replace(/ [>|].*$/, '').split(' ')
      expect(program).toBe('holdfast')
      expect(parse(argv, commands).kind).toBe('run')
    },
  )

  it.each([
    '--json --store sqlite:x sagas list --limit 3',
    'sagas --store=sqlite:x list --json --limit=3',
    'sagas list --limit 3 --json --store sqlite:x',
  ])('"%s" says the same in another order', (line) => {
    expect(parse(line.split(' '), commands)).toMatchObject({
      kind: 'run',
      command: { name: 'sagas list' },
      values: { json: true, store: 'sqlite:x', limit: '3' },
      positionals: [],
    })
  })

  it.each([
    ['--help', 0],
    ['help', 0],
    ['help migrate', 0],
    ['dead-letters --help', 0],
    ['--version', 0],
  ])('"%s" answers', async (line, code) => {
    const outcome = await holdfast(line.split(' '))
    expect(outcome.code).toBe(code)
    expect(outcome.out + outcome.err).not.toBe('')
  })

  it.each([
    ['stauts', /^holdfast: there is no command "stauts": choose demo, migrate, .*\n$/],
    ['migrate --stroe x', /^holdfast: unknown option '--stroe': run "holdfast migrate --help"\n$/],
    [
      'migrate --store',
      /^holdfast: option '--store <value>' argument missing: run "holdfast migrate --help"\n$/,
    ],
    ['migrate --json=yes', /^holdfast: option '--json' does not take an argument.*\n$/],
    ['migrate here', /^holdfast: "here" is one argument too many: run "holdfast migrate --help"\n$/],
    ['migrate', /^holdfast: no store is named: give --store .*\n$/],
    ['migrate --store shop.db', /^holdfast: --store must begin with sqlite: or postgres:\/\/.*\n$/],
    ['migrate --store mysql://me:secret@db/x', /^holdfast: --store must begin with .* got "mysql:"\n$/],
    ['migrate --store sqlite::memory:', /^holdfast: sqlite::memory: would be .*\n$/],
    ['migrate --store sqlite:x --schema y', /^holdfast: --schema is for PostgreSQL.*\n$/],
    ['migrate --store sqlite:x --print --dry-run', /^holdfast: --print does not connect.*\n$/],
    [
      'doctor --store sqlite:/tmp --pool-size 0',
      /^holdfast: --pool-size must be .* from 1 to 100000, got "0"\n$/,
    ],
    [
      'status --store sqlite:x --max-dead -1',
      /^holdfast: --max-dead needs a value; .* as --max-dead=-1: run .*\n$/,
    ],
    ['status --store sqlite:x --max-dead=-1', /^holdfast: --max-dead must be a whole number from 0 to .*\n$/],
    [
      'sagas list --store sqlite:x --limit 1e9',
      /^holdfast: --limit must be a whole number from 1 to 100000.*\n$/,
    ],
    ['migrate --store sqlite:', /^holdfast: sqlite: needs the path of a file.*\n$/],
    ['migrate --store postgres://[::x/y', /^holdfast: the postgres:\/\/ address cannot be read.*\n$/],
    [
      'two-phase list a=postgres://x a=postgres://y --store sqlite:x',
      /^holdfast: participant "a" is given twice\n$/,
    ],
    [
      'sagas check-upgrade --store sqlite:x --module nowhere.js',
      /^holdfast: there is no file .*nowhere\.js\n$/,
    ],
  ])('"%s" ends with 64 and one sentence', async (line, sentence) => {
    const { code, out, err } = await holdfast(line.split(' '))
    expect(err).toMatch(sentence)
    expect({ code, out }).toEqual({ code: 64, out: '' })
  })

  it('tells a failure as JSON too when asked', async () => {
    const { code, json, err } = await holdfast(['migrate', '--json'])
    expect(code).toBe(64)
    expect(json()).toMatchObject({ error: { code: 'USAGE', outcome: 'not-applied' } })
    expect(err).toMatch(/^holdfast: no store/)
  })

  it('shows the stack only when asked', async () => {
    expect((await holdfast(['migrate'])).err).not.toMatch(/ at /)
    expect((await holdfast(['migrate', '--verbose'])).err).toMatch(/ at /)
  })

  it('names no password in an error', async () => {
    const { code, err } = await holdfast([
      'doctor',
      '--store',
      'postgres://me:sesame@127.0.0.1:1/x',
      '--verbose',
    ])
    expect(code).toBe(2)
    expect(err).toMatch(/could not be reached \(.*ECONNREFUSED.*\): check the address/)
    expect(err).not.toMatch(/sesame/)
  })

  it('takes the store from HOLDFAST_STORE', async () => {
    const { code, err } = await holdfast(['doctor'], { HOLDFAST_STORE: 'sqlite:/nowhere/x.db' })
    expect(code).toBe(2)
    expect(err).toMatch(/^holdfast: there is no file \/nowhere\/x\.db: check the path/)
  })
})

describe('ages', () => {
  it.each([
    ['90s', 90_000],
    ['15m', 900_000],
    ['36h', 129_600_000],
    ['7d', 604_800_000],
    ['250ms', 250],
    ['0s', 0],
  ])('%s is %i ms', (text, ms) => {
    expect(parseAge('older-than', text)).toBe(ms)
  })

  it.each(['', '7', 'd', '-1d', '1.5h', '1w', '9999999999d'])('"%s" is refused', (text) => {
    expect(() => parseAge('older-than', text)).toThrow(/--older-than must be a number and a unit/)
  })

  it.each([
    [3, '3 ms'],
    [1_500, '1.5 s'],
    [61_000, '61 s'],
    [600_000, '10 min'],
    [7_200_000, '2 h'],
    [604_800_000, '7 d'],
    [-2_000, '-2.0 s'],
  ])('%i ms is shown as %s', (ms, text) => {
    expect(printAge(ms)).toBe(text)
  })
})

it('an address that cannot be read is called that of PostgreSQL only where the store failed', () => {
  const cause = Object.assign(new TypeError('Invalid URL'), { code: 'ERR_INVALID_URL' })
  const described = describeError(new LockEngineError(undefined, 'not-applied', 'listing', { cause }))
  expect(described).toMatchObject({
    code: 'LOCK_ENGINE_UNAVAILABLE',
    message: expect.stringContaining('Invalid URL'),
  })
})
