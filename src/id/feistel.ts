import { checkOptions, isCount, optionsOf } from '../core/options.ts'
import { checkId, ID_MAX, isId } from './layout.ts'
import type { Permutation } from './permutation.ts'

export interface FeistelKeys {
  /** 1 to 2^64 - 1; 0 would make every round key 0. */
  readonly key: bigint
  /** 2 to 32. Default 6. */
  readonly rounds?: number
}

const PUBLIC: FeistelKeys = { key: 0xdeadbeefcafebaben }

/**
 * A Feistel network over two halves of 32 bits: ids that follow each other look unrelated. Still no encryption; the
 * round function is a quick mixer that nobody has analysed.
 *
 * Without keys, or with `'public'`, the key is that of Python's permid64.
 * @throws ConfigError for keys out of range
 */
export function feistel(keys?: FeistelKeys | 'public'): Permutation {
  const given = keys === undefined || keys === 'public' ? PUBLIC : keys
  const { key, rounds = 6 } = optionsOf('feistel', given)
  checkOptions(
    'feistel',
    given,
    ['key', 'rounds'],
    [
      isId('key', key),
      key !== 0n || 'key must not be 0: every round key would be 0',
      isCount('rounds', rounds, 2, 32),
    ],
  )
  const roundKeys = roundKeysOf(key, rounds)
  const last = rounds - 1
  const one = new Uint32Array(2)
  const asBigint = (high: number, low: number): bigint => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)

  /** One loop for one id and for many, so that both are the same ids. */
  const fill = (out: Uint32Array, at: number, count: number, high: number, low: number): void => {
    let rawHigh = high | 0
    let rawLow = low | 0
    for (let i = at, end = at + 2 * count; i < end; i += 2) {
      let left = rawHigh
      let right = rawLow
      for (let round = 0; round <= last; round++) {
        const mixed = left ^ mix(right, roundKeys[round] as number)
        left = right
        right = mixed
      }
      out[i] = right
      out[i + 1] = left
      rawLow = (rawLow + 1) | 0
      if (rawLow === 0) rawHigh = (rawHigh + 1) | 0
    }
  }
  return {
    name: 'feistel',
    warnPublicKeys: keys === undefined,
    encode(raw) {
      checkId('raw', raw)
      fill(one, 0, 1, Number(raw >> 32n), Number(raw & 0xffffffffn))
      return asBigint(one[1] as number, one[0] as number)
    },
    decode(id) {
      checkId('id', id)
      let left = Number(id >> 32n) | 0
      let right = Number(id & 0xffffffffn) | 0
      for (let round = last; round >= 0; round--) {
        const mixed = right ^ mix(left, roundKeys[round] as number)
        right = left
        left = mixed
      }
      return asBigint(left, right)
    },
    fill,
  }
}

/** The round function, all modulo 2^32. `Math.imul` multiplies 32-bit integers without going through a double. */
function mix(half: number, roundKey: number): number {
  let x = Math.imul(half ^ roundKey, 0x9e3779b1)
  x ^= x >>> 16
  x = (x << 5) | (x >>> 27)
  x = Math.imul(x, 0x85ebca6b)
  return x ^ (x >>> 13)
}

/** The low halves of xorshift64*. @see Vigna, An experimental exploration of Marsaglia's xorshift generators, scrambled */
function roundKeysOf(key: bigint, rounds: number): Int32Array {
  const keys = new Int32Array(rounds)
  let state = key
  for (let round = 0; round < rounds; round++) {
    state ^= state >> 12n
    state ^= (state << 25n) & ID_MAX
    state ^= state >> 27n
    state = (state * 0x2545f4914f6cdd1dn) & ID_MAX
    keys[round] = Number(state & 0xffffffffn) | 0
  }
  return keys
}
