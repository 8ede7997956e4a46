import { checkOptions, optionsOf, show } from '../core/options.ts'
import type { StandardSchemaV1 } from '../core/standard-schema.ts'
import { base62, crockford32, notAnId } from './text.ts'

declare const brand: unique symbol

/** `ORD_0hwTUAmRwNk`: text that only `IdType<'ORD'>` makes, so that the id of a customer is no id of an order. */
export type TypedId<Prefix extends string> = `${Prefix}_${string}` & { readonly [brand]: Prefix }

export interface IdTypeOptions {
  /** Default base62. */
  readonly text?: 'base62' | 'crockford32'
  /** Default false. */
  readonly checkDigit?: boolean
}

/** Ids of one kind of thing, as text with its prefix. Also a Standard Schema, for topics and request bodies. */
export interface IdType<Prefix extends string> extends StandardSchemaV1<unknown, TypedId<Prefix>> {
  readonly prefix: Prefix
  /** @throws ConfigError when `id` is no unsigned 64-bit integer */
  encode(id: bigint): TypedId<Prefix>
  /** @throws PayloadError for another prefix, form or a check digit that does not fit */
  decode(text: string): bigint
  /** Checks text from outside and gives it in its one canonical form. @throws PayloadError */
  parse(text: string): TypedId<Prefix>
  /** True for text in canonical form. */
  is(text: unknown): text is TypedId<Prefix>
}

/**
 * `idType('ORD')` makes and reads `ORD_…`.
 * @throws ConfigError unless the prefix is a letter and up to 15 letters or digits
 */
export function idType<const Prefix extends string>(
  prefix: Prefix,
  options: IdTypeOptions = {},
): IdType<Prefix> {
  const { text = 'base62', checkDigit = false } = optionsOf('idType', options)
  checkOptions(
    'idType',
    options,
    ['text', 'checkDigit'],
    [
      (typeof prefix === 'string' && /^[A-Za-z][A-Za-z0-9]{0,15}$/.test(prefix)) ||
        'prefix must be a letter and at most 15 more letters or digits',
      ['base62', 'crockford32'].includes(text) || `text must be base62 or crockford32, got ${show(text)}`,
      typeof checkDigit === 'boolean' || 'checkDigit must be true or false',
    ],
  )
  const codec = text === 'base62' ? base62 : crockford32
  const encode = (id: bigint): TypedId<Prefix> =>
    `${prefix}_${checkDigit ? codec.encodeChecked(id) : codec.encode(id)}` as TypedId<Prefix>
  const decode = (given: string): bigint => {
    if (typeof given !== 'string' || !given.startsWith(`${prefix}_`))
      throw notAnId(`text that begins with ${prefix}_`)
    const rest = given.slice(prefix.length + 1)
    return checkDigit ? codec.decodeChecked(rest) : codec.decode(rest)
  }
  const parse = (given: string): TypedId<Prefix> => encode(decode(given))
  return {
    prefix,
    encode,
    decode,
    parse,
    is(given): given is TypedId<Prefix> {
      try {
        return typeof given === 'string' && parse(given) === given
      } catch {
        return false
      }
    },
    '~standard': {
      version: 1,
      vendor: 'holdfast',
      validate(value) {
        try {
          return { value: parse(value as string) }
        } catch (error) {
          return { issues: [{ message: (error as Error).message }] }
        }
      },
    },
  }
}
