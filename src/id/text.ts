import { ConfigError, PayloadError } from '../core/errors.ts'
import { checkArguments, isOneOf } from '../core/options.ts'
import { checkId, ID_MAX } from './layout.ts'

/** A way to write an id as text, of fixed length unless it is decimal. */
export interface IdText {
  readonly name: 'decimal' | 'base62' | 'crockford32'
  /** @throws ConfigError when `id` is no unsigned 64-bit integer */
  encode(id: bigint): string
  /** As `encode`, and a check digit at the end. @throws ConfigError for decimal, which has none */
  encodeChecked(id: bigint): string
  /** @throws PayloadError for any other length, character or a value above 2^64 - 1; the text is not repeated */
  decode(text: string): bigint
  /** @throws PayloadError, also when the check digit does not fit the rest */
  decodeChecked(text: string): bigint
}

/** Digits only: what JSON should carry, since a number there is rounded above 2^53. */
export const decimal: IdText = {
  name: 'decimal',
  encode(id) {
    checkId('id', id)
    return id.toString()
  },
  encodeChecked: () => {
    throw new ConfigError('id', ['decimal text has no check digit; use base62 or crockford32'])
  },
  decode(text) {
    if (!/^(0|[1-9][0-9]{0,19})$/.test(asText(text))) throw notAnId('decimal digits without leading zeros')
    return inRange(BigInt(text))
  },
  decodeChecked: () => {
    throw new ConfigError('id', ['decimal text has no check digit; use base62 or crockford32'])
  },
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/**
 * 11 characters, 0-9 A-Z a-z; sorts as bytes like the number. Case matters. The check digit (12 characters) is that of
 * ISO/IEC 7064's hybrid systems, with 62 for their modulus: it finds every single wrong character.
 */
export const base62: IdText = fixed({
  name: 'base62',
  alphabet: BASE62,
  length: 11,
  normalize: (text) => text,
  checkDigit(digits) {
    let p = 62
    for (const digit of digits) p = (((p + digit) % 62 || 62) * 2) % 63
    return BASE62[(63 - p) % 62] as string
  },
})

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/**
 * 13 characters of Crockford's base 32, upper case; what is read may be lower case, with I and L for 1, O for 0, and
 * hyphens between. The check digit (14 characters, modulo 37) finds every single wrong character and every two
 * neighbours that were exchanged.
 * @see https://www.crockford.com/base32.html
 */
export const crockford32: IdText = fixed({
  name: 'crockford32',
  alphabet: CROCKFORD,
  length: 13,
  normalize: (text) =>
    text
      .toUpperCase()
      .replace(/(?<=.)-(?=[^-])/g, '')
      .replace(/[IL]/g, '1')
      .replace(/O/g, '0'),
  checkDigit: (_digits, id) => `${CROCKFORD}*~$=U`[Number(id % 37n)] as string,
})

function fixed(form: {
  name: 'base62' | 'crockford32'
  alphabet: string
  length: number
  normalize(text: string): string
  checkDigit(digits: readonly number[], id: bigint): string
}): IdText {
  const { name, alphabet, length, normalize, checkDigit } = form
  const base = alphabet.length
  const values = new Map([...alphabet].map((character, value) => [character, value]))
  const radix = BigInt(base)

  const digitsOf = (id: bigint): number[] => {
    const digits: number[] = new Array(length)
    let rest = id
    for (let i = length - 1; i >= 0; i--) {
      digits[i] = Number(rest % radix)
      rest /= radix
    }
    return digits
  }
  const read = (text: string): { id: bigint; digits: number[] } => {
    if (text.length !== length) throw notAnId(`${length} characters of ${name}, got ${text.length}`)
    const digits = [...text].map((character, at) => {
      const value = values.get(character)
      if (value === undefined) throw notAnId(`${name}, character ${at + 1} is none of its characters`)
      return value
    })
    return { id: inRange(digits.reduce((id, digit) => id * radix + BigInt(digit), 0n)), digits }
  }
  return {
    name,
    encode(id) {
      checkId('id', id)
      return digitsOf(id)
        .map((digit) => alphabet[digit])
        .join('')
    },
    encodeChecked(id) {
      checkId('id', id)
      const digits = digitsOf(id)
      return digits.map((digit) => alphabet[digit]).join('') + checkDigit(digits, id)
    },
    decode: (text) => read(normalize(asText(text))).id,
    decodeChecked(given) {
      const text = normalize(asText(given))
      if (text.length !== length + 1)
        throw notAnId(`${length} characters of ${name} and a check digit, got ${text.length}`)
      const { id, digits } = read(text.slice(0, -1))
      if (checkDigit(digits, id) !== text.at(-1))
        throw notAnId('text whose check digit fits: one was mistyped')
      return id
    },
  }
}

function asText(text: unknown): string {
  if (typeof text !== 'string') throw notAnId(`text, got ${typeof text}`)
  return text
}

function inRange(id: bigint): bigint {
  if (id > ID_MAX) throw notAnId('at most 2^64 - 1')
  return id
}

export function notAnId(wanted: string): PayloadError {
  return new PayloadError('id', [{ path: '$', message: `must be ${wanted}` }])
}

export interface ReadId {
  readonly id: bigint
  readonly text: 'decimal' | 'base62' | 'crockford32'
  /** Without the underscore. */
  readonly prefix: string | undefined
  /** True where there was a check digit, and it fitted. */
  readonly checked: boolean
}

/**
 * Reads an id in any of the forms: decimal, base62 (11 characters, 12 with check digit), Crockford (13 or 14), each also
 * after a prefix like `ORD_`. The length says which; what could be two forms is refused rather than guessed.
 * @throws PayloadError
 */
export function readId(given: string, form?: ReadId['text']): ReadId {
  const [, prefix, text = ''] = /^(?:([A-Za-z][A-Za-z0-9]{0,15})_)?(.*)$/s.exec(asText(given)) ?? []
  const digitsOnly = /^(0|[1-9][0-9]*)$/.test(text)
  const plain = crockfordLength(text)
  const forms: ReadId['text'][] = []
  if (digitsOnly && text.length <= 20) forms.push('decimal')
  if (text.length === 11 || text.length === 12) forms.push('base62')
  if ((plain === 13 || plain === 14) && !forms.includes('base62')) forms.push('crockford32')
  const candidates = form === undefined ? forms : [form]
  if (candidates.length > 1)
    throw notAnId(`clear: these digits are both ${candidates.join(' and ')}; say which form it is`)
  const [text0] = candidates
  if (text0 === undefined)
    throw notAnId('decimal, 11 or 12 characters of base62, or 13 or 14 of Crockford base 32')
  if (form !== undefined)
    checkArguments('readId', isOneOf('form', form, ['decimal', 'base62', 'crockford32']))
  const codec = { decimal, base62, crockford32 }[text0]
  if (codec === undefined)
    throw new ConfigError('readId', ['the form must be decimal, base62 or crockford32'])
  const checked = { decimal: false, base62: text.length === 12, crockford32: plain === 14 }[text0]
  return { id: checked ? codec.decodeChecked(text) : codec.decode(text), text: text0, prefix, checked }
}

function crockfordLength(text: string): number {
  return text.replaceAll('-', '').length
}
