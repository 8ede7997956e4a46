/** `holdfast check` as a process: exit codes, limits, the page. Uses the build. */
import { spawn } from 'node:child_process'
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { afterAll, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const folder = tempFolder('cli-check')
afterAll(folder.remove)

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

const check = (...args: string[]): Promise<Ended> => checkInput('', ...args)

async function checkInput(input: string | Uint8Array, ...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [main, 'check', ...args], { cwd: folder.path })
  child.stdin.on('error', () => {}) // a command that does not read it may have ended
  child.stdin.end(input)
  let [out, err] = ['', '']
  child.stdout.on('data', (data) => {
    out += String(data)
  })
  child.stderr.on('data', (data) => {
    err += String(data)
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, out, err }
}

function file(name: string, text: string): string {
  const path = folder.file(name)
  writeFileSync(path, text)
  return path
}

const event = (process: number, type: string, f: string, value?: unknown): string =>
  `${JSON.stringify({ process, type, f, value })}\n`
const written = event(0, 'invoke', 'write', 1) + event(0, 'ok', 'write', 1) + event(1, 'invoke', 'read')
file('check.json', '{}')
const good = file('good.jsonl', written + event(1, 'ok', 'read', 1))
const bad = file('bad.jsonl', written + event(1, 'ok', 'read', null))
/** Pushes of values alike that are all under way at once, and a stack seen empty after them: every order has to be tried. */
const hard = file(
  'hard.jsonl',
  [
    ...Array.from({ length: 24 }, (_, i) => event(i, 'invoke', 'push', i % 12)),
    ...Array.from({ length: 24 }, (_, i) => event(i, 'ok', 'push', i % 12)),
    event(0, 'invoke', 'pop'),
    event(0, 'ok', 'pop', null),
  ].join(''),
)

it('ends with 0 for a valid history', async () => {
  expect(await check(good, '--model', 'register')).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^valid: 2 operations, model register/),
    err: '',
  })
})

it('reads a history of several megabytes, whichever way it comes', async () => {
  // Longer than any piece in which a file is read, with a mistake at its very end.
  const lines: string[] = []
  for (let i = 0; i < 20_000; i++) {
    lines.push(event(i % 3, 'invoke', 'write', i), event(i % 3, 'ok', 'write', i))
  }
  const text = `${lines.join('')}${event(5, 'invoke', 'read')}${event(5, 'ok', 'read', 3)}`
  expect(text.length).toBeGreaterThan(2 ** 21)
  const large = file('large.jsonl', text)
  const packed = folder.file('large.jsonl.gz')
  writeFileSync(packed, gzipSync(text))
  const invalid = { code: 1, out: expect.stringContaining('line 40001  process 5  read → 3') }
  expect(await check(large, '--model', 'register')).toMatchObject(invalid)
  expect(await check(packed, '--model', 'register')).toMatchObject(invalid)
  expect(await checkInput(text, '-', '--model', 'register')).toMatchObject(invalid)
  expect(await checkInput(gzipSync(text), '-', '--model', 'register')).toMatchObject(invalid)
  writeFileSync(packed, gzipSync(text).subarray(0, 1000))
  expect(await check(packed, '--model', 'register')).toMatchObject({ code: 65, out: '' })
  expect(await checkInput('', '-', '--model', 'register')).toMatchObject({ code: 65 })
})

it('a format without transfers is no bank', async () => {
  const sessions = file('sessions.txt', 'w(x,1)\n-----\nr(x,1)\n')
  expect(await check(sessions, '--model', 'bank', '--format', 'text')).toMatchObject({ code: 64 })
})

it('ends with 1 for an invalid one, in JSON and as a page', async () => {
  const page = folder.file('report.html')
  const { code, out } = await check(bad, '--model', 'kv', '--json', '--html', page)
  expect(code).toBe(1)
  expect(JSON.parse(out)).toMatchObject({
    verdict: 'invalid',
    model: 'kv',
    operations: 2,
    anomalies: [{ type: 'nonlinearizable', explanation: expect.any(String), operations: expect.any(Array) }],
    seconds: expect.any(Number),
  })
  const html = readFileSync(page, 'utf8')
  expect(html).toContain('<svg')
  expect(html).not.toMatch(/https?:\/\/(?!www\.w3\.org)|<script|<link/)
})

it('ends with 2 when the time is up, whatever it is doing', async () => {
  const { code, out } = await check(hard, '--model', 'stack', '--timeout', '0.5', '--json')
  expect(code).toBe(2)
  expect(JSON.parse(out)).toMatchObject({
    verdict: 'unknown',
    reason: expect.stringMatching(/time .*is up/),
  })
})

it('ends with 2 when a model of your own never answers', async () => {
  const model = file('stuck.mjs', 'export default { init: () => 0, step: () => { for (;;); } }')
  const { code, out } = await check(good, '--model', model, '--timeout', '0.5')
  expect({ code, out }).toEqual({
    code: 2,
    out: expect.stringMatching(/^unknown: .*\n {2}the time of 0.5 s is up/),
  })
})

it('ends with 2 when the memory is used up', async () => {
  const { code, out } = await check(hard, '--model', 'stack', '--memory', '150', '--json')
  expect(code).toBe(2)
  expect(JSON.parse(out)).toMatchObject({
    verdict: 'unknown',
    reason: expect.stringMatching(/more than the 150 MB/),
  })
})

it.each([
  [[], /FILE is missing/],
  [[good], /--model is missing/],
  [[good, '--model', 'nix'], /--model cannot be "nix"/],
  [[good, '--model', 'register', '--level', 'causal'], /level causal is for models of transactions/],
  [[good, '--model', 'register', '--total', '5'], /a total is for bank, not for register/],
  [
    [good, '--model', 'rw-register', '--allow-duplicates'],
    /leave for duplicates is for delivery, not for rw-/,
  ],
  [[good, '--model', './none.mjs'], /none\.mjs cannot be read/],
  [[good, '--model', './check.json'], /check\.json exports no model|check\.json cannot be loaded/],
  [[good, '--model', 'register', '--timeout', 'soon'], /--timeout must be a number/],
  [
    [good, '--model', 'set', '--initial', '0'],
    /an initial value is for register, cas-register, multi-register, kv/,
  ],
  [[good, '--model', 'rw-register', '--initial', '0'], /an initial value is for .*, not for rw-register/],
  [[good, '--model', 'register', '--initial', 'x y'], /--initial must be JSON/],
  [[good, '--model', 'rw-register', '--level', 'PL-4'], /--level cannot be "PL-4"/],
  [[good, '--model', 'rw-register', '--level', 'constructor'], /--level cannot be "constructor"/],
  [['missing.jsonl', '--model', 'register'], /missing.jsonl cannot be read/],
] as [string[], RegExp][])('%j ends with 64', async (args, message) => {
  expect(await check(...args)).toEqual({ code: 64, out: '', err: expect.stringMatching(message) })
})

it('takes a model in TypeScript, and ends with 64 for a module that is none', async () => {
  // As in a project that has tsx.
  symlinkSync(fileURLToPath(new URL('../../node_modules', import.meta.url)), folder.file('node_modules'))
  const model = file('any.ts', 'export default { init: (): number => 0, step: (state: number) => state }')
  expect((await check(good, '--model', model)).code).toBe(0)
  const none = file('none.ts', 'export default { init: () => 0 }')
  expect(await check(good, '--model', none)).toEqual({
    code: 64,
    out: '',
    err: expect.stringMatching(
      /none\.ts exports no model: the default export needs the functions init and step\n$/,
    ),
  })
})

it('says that the total of a bank proves no level', async () => {
  const bank = file('bank.jsonl', event(0, 'ok', 'read', { ada: 1, ben: 2 }))
  const { code, out } = await check(bank, '--model', 'bank', '--level', 'serializable')
  expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/serializable is not looked at/) })
})

it.each([
  ['{"process":0,"type":"invoke","f":"read"}\n{"process":', [], /line 2: no JSON/],
  ['{:process 0, :type :ok', [], /line 1: "}" is missing/],
  ['', [], /the history is empty/],
  ['Dear Sir', [], /no known format begins like this/],
  ['{"process":0,"type":"ok","f":"read"}', [], /line 1: ok of read, but process 0 has nothing under way/],
  ['{"process":0,"type":"invoke","f":"fly"}', [], /the model register has no operation "fly"/],
  ['r x 1', [], /holds transactions/],
] as [string, string[], RegExp][])('%j ends with 65', async (text, args, message) => {
  const path = file('malformed', text)
  expect(await check(path, '--model', 'register', ...args)).toEqual({
    code: 65,
    out: '',
    err: expect.stringMatching(message),
  })
})

it('checks transactions, and draws the cycle', async () => {
  const page = folder.file('cycle.html')
  const path = file('skew.txt', 'r x nil\nw y 1\n=====\nr y nil\nw x 1\n')
  const { code, out } = await check(path, '--model', 'rw-register', '--level', 'serializable', '--html', page)
  expect({ code, out }).toEqual({ code: 1, out: expect.stringMatching(/G2-item/) })
  expect(readFileSync(page, 'utf8')).toMatch(/marker-end/)
  expect((await check(path, '--model', 'rw-register', '--level', 'snapshot-isolation')).code).toBe(0)
})

it('takes the other names of a level, and what is held at first', async () => {
  const path = file('skew.txt', 'r x nil\nw y 1\n=====\nr y nil\nw x 1\n')
  const at = async (level: string) => (await check(path, '--model', 'rw-register', '--level', level)).code
  expect([await at('PL-3'), await at('SNAPSHOT_ISOLATION')]).toEqual([1, 0])
  const first = file('first.jsonl', event(0, 'invoke', 'read') + event(0, 'ok', 'read', 0))
  expect((await check(first, '--model', 'register', '--initial', '0')).code).toBe(0)
  expect((await check(first, '--model', 'register')).code).toBe(1)
})

it('null as what is held at first overrules what a format says, and a model of your own knows by itself', async () => {
  const at = '{:process 0, :f :get, :key "k", :type'
  const log = file('kv.log', `${at} :invoke, :value nil}\n${at} :ok, :value ""}\n`)
  const kv = ['--model', 'kv', '--format', 'porcupine']
  expect((await check(log, ...kv)).code).toBe(0)
  expect((await check(log, ...kv, '--initial', 'null')).code).toBe(1)
  const model = file('any.mjs', 'export default { init: () => 0, step: () => 0 }')
  expect(await check(good, '--model', model, '--initial', '0')).toEqual({
    code: 64,
    out: '',
    err: expect.stringMatching(
      /an initial value is for register, cas-register, multi-register, kv, not for .*any\.mjs/,
    ),
  })
})

it('what registers hold at first is told by key', async () => {
  const txn = (type: string, value: string): string =>
    `{:process 0, :type ${type}, :f :txn, :value ${value}}\n`
  const path = file(
    'registers.edn',
    txn(':invoke', '[[:read :x nil] [:w :y 2]]') + txn(':ok', '[[:read :x 0] [:w :y 2]]'),
  )
  const at = (initial: string) => check(path, '--model', 'multi-register', '--initial', initial)
  expect([(await at('{"x":0}')).code, (await at('{"y":0}')).code]).toEqual([0, 1])
  expect(await at('0')).toMatchObject({
    code: 64,
    err: expect.stringMatching(/must be an object of keys and values/),
  })
})

it('lets a bank owe where it may', async () => {
  const read = (value: string): string => `{:process 0, :type :ok, :f :read, :value ${value}}\n`
  const path = file('bank.edn', read('{0 10, 1 0}') + read('{0 11, 1 -1}'))
  expect((await check(path, '--model', 'bank')).out).toMatch(/negative-balance/)
  expect((await check(path, '--model', 'bank', '--negative-balances')).code).toBe(0)
  expect((await check(good, '--model', 'register', '--negative-balances')).code).toBe(64)
})

it('checks what came out against what went in', async () => {
  const path = file(
    'queue.jsonl',
    event(0, 'invoke', 'enqueue', 1) +
      event(0, 'ok', 'enqueue', 1) +
      event(0, 'invoke', 'drain') +
      event(0, 'ok', 'drain', []),
  )
  const { code, out } = await check(path, '--model', 'total-queue')
  expect({ code, out }).toEqual({
    code: 1,
    out: expect.stringMatching(/lost\n {2}1 was put in and never came out/),
  })
})

it('sees by itself that values are pairs of key and value', async () => {
  const path = file(
    'independent.jsonl',
    event(0, 'invoke', 'write', ['x', 1]) +
      event(0, 'ok', 'write', ['x', 1]) +
      event(0, 'invoke', 'read', ['y', null]) +
      event(0, 'ok', 'read', ['y', null]),
  )
  expect((await check(path, '--model', 'register')).code).toBe(0)
})

it('takes sets of transactions for what they are, without a level', async () => {
  const path = file(
    'set.jsonl',
    event(0, 'ok', 'txn', [['add', 'x', 1]]) + event(0, 'ok', 'txn', [['r', 'x', [1]]]),
  )
  expect((await check(path, '--model', 'set')).code).toBe(0)
})
