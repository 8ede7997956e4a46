import {
  base62,
  crockford32,
  decimal,
  feistel,
  fileCounter,
  inspectFileCounter,
  multiplicative,
  type Permutation,
  permutedIds,
  type ReadId,
  readId,
  splitRaw,
} from '../../id/index.ts'
import { usageError } from '../cli-error.ts'
import { type Command, EXIT, flag, type Given, type OptionSpec, textValue } from '../command.ts'
import { wholeNumber } from '../whole-number.ts'

const KEYS: Readonly<Record<string, OptionSpec>> = {
  permutation: { type: 'string', value: 'NAME', summary: 'multiplicative (default) or feistel' },
  multiplier: {
    type: 'string',
    value: 'N',
    summary: 'key of multiplicative, odd; decimal or 0x…; default: the public one',
  },
  offset: { type: 'string', value: 'N', summary: 'key of multiplicative; default: the public one' },
  key: { type: 'string', value: 'N', summary: 'key of feistel; default: the public one' },
  rounds: { type: 'string', value: 'N', summary: 'rounds of feistel; default 6' },
}
const TEXT: OptionSpec = { type: 'string', value: 'FORM', summary: 'decimal, base62 or crockford32' }

const next: Command = {
  name: 'id next',
  summary: 'make ids from a state file',
  description: 'Reserves just as many numbers as it prints. Refused while another generator has the file.',
  options: {
    state: {
      type: 'string',
      value: 'FILE',
      summary: 'the state file, also one of permid64; made when missing',
    },
    instance: { type: 'string', value: 'N', summary: '0 to 65535; default 0' },
    count: { type: 'string', value: 'N', summary: 'how many; default 1' },
    text: { ...TEXT, summary: `${TEXT.summary}; default decimal` },
    prefix: { type: 'string', value: 'PREFIX', summary: 'ORD gives ORD_…' },
    'check-digit': { type: 'boolean', summary: 'add a check digit (base62 and crockford32)' },
    ...KEYS,
  },
  examples: [
    { line: 'holdfast id next --state ids.state --instance 7', does: 'one id as digits' },
    {
      line: 'holdfast id next --state ids.state --count 3 --text base62 --prefix ORD',
      does: 'ORD_… three times',
    },
  ],
  async run(given) {
    const state = textValue(given, 'state')
    if (state === undefined) throw usageError('--state FILE is needed: run "holdfast id next --help"')
    const count = wholeNumber(given, 'count', { min: 1, max: 1_000_000 }) ?? 1
    const prefix = textValue(given, 'prefix')
    if (prefix !== undefined && !/^[A-Za-z][A-Za-z0-9]{0,15}$/.test(prefix))
      throw usageError(`--prefix must be a letter and at most 15 more letters or digits, got "${prefix}"`)
    const codec = { decimal, base62, crockford32 }[textForm(given) ?? 'decimal']
    const checkDigit = flag(given, 'check-digit')
    if (checkDigit && codec === decimal) throw usageError('--check-digit needs --text base62 or crockford32')
    const ids = permutedIds({
      instance: wholeNumber(given, 'instance', { min: 0, max: 65_535 }) ?? 0,
      source: fileCounter(state),
      permutation: permutationOf(given),
      blockSize: count,
      prefetch: false,
    })
    try {
      const made = new BigUint64Array(count)
      await ids.fill(made)
      const texts = [...made].map(
        (id) =>
          `${prefix === undefined ? '' : `${prefix}_`}${checkDigit ? codec.encodeChecked(id) : codec.encode(id)}`,
      )
      return { exitCode: EXIT.ok, text: `${texts.join('\n')}\n`, data: { ids: texts } }
    } finally {
      await ids.close()
    }
  },
}

const decode: Command = {
  name: 'id decode',
  summary: 'say which instance made an id, and its sequence number',
  description: [
    'ID is decimal, base62, Crockford base 32, or one of them after a prefix (ORD_…), with a check digit or without.',
    'With the wrong keys the answer is wrong too; nothing in an id tells.',
  ].join('\n'),
  positionals: ['ID'],
  options: { text: { ...TEXT, summary: `${TEXT.summary}; default: what its length says` }, ...KEYS },
  examples: [
    { line: 'holdfast id decode ORD_5hSt0VheoqW --json', does: '{"instance":42,"sequence":"1"}' },
    {
      line: 'holdfast id decode 6717605060875388645 --permutation feistel',
      does: 'the same id, made by feistel',
    },
  ],
  async run(given) {
    const { id } = readId(given.positionals[0] as string, textForm(given))
    const { instance, sequence } = splitRaw(permutationOf(given).decode(id))
    return {
      exitCode: EXIT.ok,
      text: `instance ${instance}, sequence ${sequence}\n`,
      data: { instance, sequence: sequence.toString() },
    }
  },
}

const inspect: Command = {
  name: 'id inspect',
  summary: 'show all forms of an id, or what a state file says',
  positionals: ['ID?'],
  options: {
    state: { type: 'string', value: 'FILE', summary: 'show this state file instead, without touching it' },
    text: { ...TEXT, summary: `${TEXT.summary}; default: what its length says` },
    ...KEYS,
  },
  examples: [
    { line: 'holdfast id inspect 5hSt0VheoqW', does: 'decimal, base62, Crockford, instance and sequence' },
    {
      line: 'holdfast id inspect --state ids.state',
      does: 'the next number, and whether a generator has the file',
    },
  ],
  async run(given) {
    const [text] = given.positionals
    const state = textValue(given, 'state')
    if ((text === undefined) === (state === undefined))
      throw usageError('give either an ID or --state FILE: run "holdfast id inspect --help"')
    return state === undefined ? inspectId(given, text as string) : inspectState(state)
  },
}

function inspectId(given: Given, text: string) {
  const read = readId(text, textForm(given))
  const permutation = permutationOf(given)
  const { instance, sequence } = splitRaw(permutation.decode(read.id))
  const data = {
    decimal: decimal.encode(read.id),
    base62: base62.encode(read.id),
    base62Checked: base62.encodeChecked(read.id),
    crockford32: crockford32.encode(read.id),
    crockford32Checked: crockford32.encodeChecked(read.id),
    givenAs: read.text,
    prefix: read.prefix ?? null,
    checkDigit: read.checked,
    permutation: permutation.name,
    instance,
    sequence: sequence.toString(),
  }
  return { exitCode: EXIT.ok, text: lines(data), data }
}

async function inspectState(path: string) {
  const { next: sequence, inUse, hasRecord } = await inspectFileCounter(path)
  const data = { next: sequence.toString(), inUse, hasRecord }
  return { exitCode: EXIT.ok, text: lines(data), data }
}

function lines(data: object): string {
  const entries = Object.entries(data).filter(([, value]) => value !== null)
  const width = Math.max(...entries.map(([name]) => name.length))
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('')
}

/** Here public keys need no warning: whoever decodes by hand knows which they are. */
function permutationOf(given: Given): Permutation {
  const name = textValue(given, 'permutation') ?? 'multiplicative'
  const [multiplier, offset, key] = ['multiplier', 'offset', 'key'].map((option) => number(given, option))
  const rounds = textValue(given, 'rounds')
  if (name === 'multiplicative') {
    if (key !== undefined || rounds !== undefined)
      throw usageError('--key and --rounds belong to --permutation feistel')
    if ((multiplier === undefined) !== (offset === undefined))
      throw usageError('--multiplier and --offset go together')
    return multiplicative(
      multiplier === undefined || offset === undefined ? 'public' : { multiplier, offset },
    )
  }
  if (name === 'feistel') {
    if (multiplier !== undefined || offset !== undefined)
      throw usageError('--multiplier and --offset belong to --permutation multiplicative')
    if (key === undefined && rounds === undefined) return feistel('public')
    return feistel({
      key: key ?? 0xdeadbeefcafebaben,
      rounds: wholeNumber(given, 'rounds', { min: 2, max: 32 }) ?? 6,
    })
  }
  throw usageError(`--permutation must be multiplicative or feistel, got "${name}"`)
}

function textForm(given: Given): ReadId['text'] | undefined {
  const form = textValue(given, 'text')
  if (form === undefined || form === 'decimal' || form === 'base62' || form === 'crockford32') return form
  throw usageError(`--text must be decimal, base62 or crockford32, got "${form}"`)
}

function number(given: Given, name: string): bigint | undefined {
  const text = textValue(given, name)
  if (text === undefined) return undefined
  // The text may be a key, so it is not repeated.
  if (!/^(\d{1,20}|0x[0-9a-f]{1,16})$/i.test(text))
    throw usageError(`--${name} must be digits or 0x and hex digits`)
  return BigInt(text)
}

export const idCommands: readonly Command[] = [next, decode, inspect]
