import { checkOptions, optionsOf } from '../core/options.ts'
import { checkId, ID_MAX, isId } from './layout.ts'
import type { Permutation } from './permutation.ts'

export interface MultiplicativeKeys {
  /** Odd, 0 to 2^64 - 1. */
  readonly multiplier: bigint
  /** 0 to 2^64 - 1. */
  readonly offset: bigint
}

const PUBLIC: MultiplicativeKeys = { multiplier: 0x9e3779b185ebca87n, offset: 0x6a09e667f3bcc909n }

/**
 * `id = multiplier * raw + offset` modulo 2^64. The fastest, and the weakest: ids that follow each other differ by the
 * multiplier, so that two of them give it away.
 *
 * Without keys, or with `'public'`, these are the constants of Python's permid64 (which says so aloud unless you ask
 * for `'public'`).
 * @throws ConfigError for an even multiplier, which has no inverse, and for keys out of range
 */
export function multiplicative(keys?: MultiplicativeKeys | 'public'): Permutation {
  const given = keys === undefined || keys === 'public' ? PUBLIC : keys
  const { multiplier, offset } = optionsOf('multiplicative', given)
  checkOptions(
    'multiplicative',
    given,
    ['multiplier', 'offset'],
    [
      isId('multiplier', multiplier),
      isId('offset', offset),
      typeof multiplier !== 'bigint' ||
        (multiplier & 1n) === 1n ||
        'multiplier must be odd, or it has no inverse',
    ],
  )
  const inverse = inverseOf(multiplier)
  const stepLow = Number(multiplier & 0xffffffffn)
  const stepHigh = Number(multiplier >> 32n)
  const encode = (raw: bigint): bigint => (multiplier * raw + offset) & ID_MAX
  return {
    name: 'multiplicative',
    warnPublicKeys: keys === undefined,
    encode(raw) {
      checkId('raw', raw)
      return encode(raw)
    },
    decode(id) {
      checkId('id', id)
      return (inverse * (id - offset)) & ID_MAX
    },
    fill(out, at, count, high, low) {
      const first = encode((BigInt(high) << 32n) | BigInt(low))
      // The next id is this one plus the multiplier: one addition of 64 bits in two halves.
      let idLow = Number(first & 0xffffffffn)
      let idHigh = Number(first >> 32n)
      for (let i = at, end = at + 2 * count; i < end; i += 2) {
        out[i] = idLow
        out[i + 1] = idHigh
        const sum = idLow + stepLow
        idLow = sum >>> 0
        idHigh = (idHigh + stepHigh + (sum > 0xffffffff ? 1 : 0)) >>> 0
      }
    },
  }
}

/** Newton's iteration doubles the number of right bits: 5 from the start, 80 after four rounds. @see Hacker's Delight, 10-16 */
function inverseOf(odd: bigint): bigint {
  let inverse = (3n * odd) ^ 2n
  for (let i = 0; i < 4; i++) inverse = (inverse * (2n - odd * inverse)) & ID_MAX
  return inverse
}
