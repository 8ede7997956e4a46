/** Histories that were cut, mixed up and overwritten: each has a verdict or is refused with a reason. Nothing else happens. */
import { expect, it } from 'vitest'
import { isHoldfastError } from '../../../src/core/errors.ts'
import { checkHistory, LEVELS, MODELS } from '../../../src/history/index.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'

const event = (process: number, type: string, f: string, value?: unknown, key?: string): string =>
  JSON.stringify({ process, type, f, value, key })

const HISTORIES: readonly string[] = [
  // JSON lines: a register with a crashed compare-and-set, transactions, a bank, deliveries.
  [
    event(0, 'invoke', 'write', 1),
    event(0, 'ok', 'write', 1),
    event(1, 'invoke', 'read', null),
    event(2, 'invoke', 'cas', [1, 2]),
    event(1, 'ok', 'read', 1),
    event(2, 'info', 'cas', [1, 2]),
  ].join('\n'),
  [
    event(0, 'invoke', 'txn', [['append', 'x', 1]]),
    event(1, 'invoke', 'txn', [['append', 'y', 1]]),
    event(0, 'ok', 'txn', [
      ['append', 'x', 1],
      ['r', 'y', [1]],
    ]),
    event(1, 'ok', 'txn', [
      ['append', 'y', 1],
      ['r', 'x', null],
    ]),
  ].join('\n'),
  [
    event(0, 'ok', 'txn', [
      ['w', 'x', 1, 1],
      ['r', 'y', null],
    ]),
    event(1, 'fail', 'txn', [['w', 'y', 2, 1]]),
    event(2, 'ok', 'txn', [
      ['r', 'x', 1],
      ['w', 'x', 9007199254740991, 2],
    ]),
  ].join('\n'),
  [
    event(0, 'ok', 'read', { a: 10, b: 20 }),
    event(0, 'ok', 'transfer', { from: 'a', to: 'b', amount: 5 }),
  ].join('\n'),
  [
    event(0, 'invoke', 'publish', 'm1', 'k'),
    event(0, 'ok', 'publish', 'm1', 'k'),
    event(1, 'invoke', 'deliver', 'm1', 'k'),
    event(1, 'ok', 'deliver', 'm1', 'k'),
  ].join('\n'),
  // EDN, Porcupine's two logs, sessions as text, dbcop's JSON.
  '{:process 0, :type :invoke, :f :write, :value 1}\n{:process 0, :type :ok, :f :write, :value 1}\n{:process 1, :type :invoke, :f :read, :value nil}\n{:process 1, :type :ok, :f :read, :value #{1 "a" \\b}}',
  'INFO  jepsen.util - 0\t:invoke\t:write\t3\nINFO  jepsen.util - 1\t:invoke\t:read\tnil\nINFO  jepsen.util - 0\t:ok\t:write\t3\nINFO  jepsen.util - 1\t:fail\t:read\t:timed-out',
  '{:process 0, :type :invoke, :f :put, :key "1", :value "x"}\n{:process 0, :type :ok, :f :put, :key "1", :value "x"}',
  'w x 1\nr y nil\n-----\nr x 1\n=====\nw y 2',
  '{"id":1,"data":[[{"events":[{"Write":{"variable":0,"version":1}}],"committed":true}]]}',
]
const BITS = [
  'null',
  '[',
  ']',
  '{',
  '}',
  '"',
  ':',
  ',',
  '\0',
  '\\',
  '#{',
  '\n\n',
  '\uFEFF',
  'é',
  '-1',
  '1e400',
  '""',
]
const NUMBERS = [
  '-1',
  '9007199254740993',
  '1e400',
  '999999999999999999999999',
  '0',
  'null',
  '""',
  '{}',
  '[]',
  '1.5',
]

const encoder = new TextEncoder()
const decoder = new TextDecoder()

function mutate(bytes: Uint8Array, below: (n: number) => number): Uint8Array {
  const text = decoder.decode(bytes)
  const at = below(text.length + 1)
  const lines = text.split('\n')
  switch (below(8)) {
    case 0: {
      const changed = bytes.slice()
      changed[below(bytes.length)] = below(256)
      return changed
    }
    case 1:
      return bytes.subarray(0, below(bytes.length + 1))
    case 2:
      return bytes.subarray(below(bytes.length + 1))
    case 3:
      return encoder.encode(lines.toSpliced(below(lines.length), 1).join('\n'))
    case 4:
      return encoder.encode(
        lines.toSpliced(below(lines.length), 0, lines[below(lines.length)] as string).join('\n'),
      )
    case 5:
      return encoder.encode(text.replaceAll('\n', '\r\n'))
    case 6: {
      const numbers = [...text.matchAll(/\d+/g)]
      const number = numbers[below(numbers.length)]
      if (number === undefined) return bytes
      const other = NUMBERS[below(NUMBERS.length)] as string
      return encoder.encode(text.slice(0, number.index) + other + text.slice(number.index + number[0].length))
    }
    default:
      return encoder.encode(text.slice(0, at) + BITS[below(BITS.length)] + text.slice(at))
  }
}

/** `HOLDFAST_CHECK_RUNS=1000000` makes a campaign of it. */
const runs = Number(process.env.HOLDFAST_CHECK_RUNS ?? 8_000)
const seed = Number(process.env.HOLDFAST_CHECK_SEED ?? 20_261_126)

it('a mutated history has a verdict or a reason, whatever it is taken for', () => {
  const random = seededRandom(seed)
  const below = (n: number): number => Math.floor(random() * n)
  const seen = { valid: 0, invalid: 0, unknown: 0, refused: 0 }
  for (let i = 0; i < runs; i++) {
    let bytes: Uint8Array = encoder.encode(HISTORIES[below(HISTORIES.length)] as string)
    for (let times = below(3); times >= 0; times--) bytes = mutate(bytes, below)
    const model = MODELS[below(MODELS.length)] as (typeof MODELS)[number]
    const level = below(3) === 0 ? (LEVELS[below(LEVELS.length)] as (typeof LEVELS)[number]) : undefined
    try {
      const verdict = checkHistory({ bytes }, { model, ...(level === undefined ? {} : { level }) })
      seen[verdict.verdict]++
      if (verdict.verdict === 'invalid') expect(verdict.anomalies.length).toBeGreaterThan(0)
      if (verdict.verdict === 'unknown') expect(verdict.reason).toBeTruthy()
      JSON.stringify(verdict) // what --json prints holds no bigint
    } catch (error) {
      if (!isHoldfastError(error)) {
        throw new Error(`${model} ${level} of ${JSON.stringify(decoder.decode(bytes))}`, { cause: error })
      }
      expect(['HISTORY_MALFORMED', 'HISTORY_OPERATION', 'CONFIG_INVALID']).toContain(error.code)
      seen.refused++
    }
  }
  expect(Math.min(seen.valid, seen.invalid, seen.refused)).toBeGreaterThan(runs / 500)
})

it.each([
  [0, 'cas-register'],
  [1, 'list-append'],
  [2, 'rw-register'],
  [3, 'bank'],
  [4, 'delivery'],
  [5, 'register'],
  [6, 'cas-register'],
  [7, 'kv'],
  [8, 'rw-register'],
] as const)('line ends of Windows and a byte order mark change no verdict (history %i)', (number, model) => {
  const text = HISTORIES[number] as string
  const verdict = (of: string) => {
    const { verdict, operations, anomalies } = checkHistory({ bytes: encoder.encode(of) }, { model })
    return { verdict, operations, types: anomalies.map(({ type }) => type) }
  }
  const plain = verdict(text)
  expect(verdict(text.replaceAll('\n', '\r\n'))).toEqual(plain)
  expect(verdict(`\uFEFF${text}`)).toEqual(plain)
  expect(verdict(`${text}\n\n`)).toEqual(plain)
})
