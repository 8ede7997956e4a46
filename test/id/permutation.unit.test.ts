import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import {
  base62,
  composeRaw,
  crockford32,
  feistel,
  memoryCounter,
  multiplicative,
  type Permutation,
  permutedIds,
  splitRaw,
} from 'holdfast/id'
import { describe, expect, it } from 'vitest'

const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const odd = uint64.map((n) => n | 1n)
const permutations: [string, Permutation][] = [
  ['multiplicative, public keys', multiplicative('public')],
  ['multiplicative, own keys', multiplicative({ multiplier: 0xd1342543de82ef95n, offset: 3n })],
  ['multiplicative by 1', multiplicative({ multiplier: 1n, offset: 0n })],
  ['feistel, public key', feistel('public')],
  ['feistel, own key, 9 rounds', feistel({ key: 12345n, rounds: 9 })],
]

/** The definitions, written with bigints only, to compare with. */
const M32 = 2n ** 32n - 1n
const M64 = 2n ** 64n - 1n
function feistelByDefinition(raw: bigint): bigint {
  let state = 0xdeadbeefcafebaben
  let [left, right] = [raw >> 32n, raw & M32]
  for (let round = 0; round < 6; round++) {
    state ^= state >> 12n
    state = (state ^ (state << 25n)) & M64
    state ^= state >> 27n
    state = (state * 0x2545f4914f6cdd1dn) & M64
    let x = (right ^ (state & M32)) & M32
    x = (x * 0x9e3779b1n) & M32
    x ^= x >> 16n
    x = ((x << 5n) | (x >> 27n)) & M32
    x = (x * 0x85ebca6bn) & M32
    x ^= x >> 13n
    ;[left, right] = [right, left ^ x]
  }
  return (left << 32n) | right
}
const multiplicativeByDefinition = (raw: bigint): bigint =>
  (0x9e3779b185ebca87n * raw + 0x6a09e667f3bcc909n) & M64

describe('permutations', () => {
  it('give the known answers', () => {
    expect(multiplicative('public').encode(0n)).toBe(0x6a09e667f3bcc909n)
    expect(multiplicative('public').encode(1n)).toBe((0x6a09e667f3bcc909n + 0x9e3779b185ebca87n) & M64)
    for (const raw of [0n, 1n, 1n << 48n, (42n << 48n) | 4096n, M64]) {
      expect(feistel('public').encode(raw)).toBe(feistelByDefinition(raw))
    }
  })

  it('agree with the definitions everywhere', () => {
    fc.assert(
      fc.property(uint64, (raw) => {
        expect(feistel('public').encode(raw)).toBe(feistelByDefinition(raw))
        expect(multiplicative('public').encode(raw)).toBe(multiplicativeByDefinition(raw))
      }),
    )
  })

  it.each(permutations)('%s: decode undoes encode', (_name, permutation) => {
    fc.assert(
      fc.property(uint64, (raw) => {
        expect(permutation.decode(permutation.encode(raw))).toBe(raw)
        expect(permutation.encode(permutation.decode(raw))).toBe(raw)
      }),
    )
  })

  it('undo with every odd multiplier', () => {
    fc.assert(
      fc.property(odd, uint64, uint64, (multiplier, offset, raw) => {
        const permutation = multiplicative({ multiplier, offset })
        expect(permutation.decode(permutation.encode(raw))).toBe(raw)
      }),
    )
  })

  it.each(permutations)('%s: a batch is the ids one by one, over the carry too', (_name, permutation) => {
    for (const first of [0n, 2n ** 32n - 3n, (7n << 48n) | (2n ** 32n - 2n), 2n ** 64n - 6n]) {
      const out = new Uint32Array(12)
      permutation.fill(out, 2, 5, Number(first >> 32n), Number(first & M32))
      const ids = Array.from(
        { length: 5 },
        (_, i) => (BigInt(out[2 * i + 3] ?? 0) << 32n) | BigInt(out[2 * i + 2] ?? 0),
      )
      expect(ids).toEqual(Array.from({ length: 5 }, (_, i) => permutation.encode(first + BigInt(i))))
      expect([out[0], out[1]]).toEqual([0, 0])
    }
  })

  it('refuse what is out of range instead of cutting it off', () => {
    for (const bad of [-1n, 2n ** 64n, 1 as unknown as bigint]) {
      for (const [, permutation] of permutations) {
        expect(() => permutation.encode(bad)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
        expect(() => permutation.decode(bad)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
      }
    }
    for (const parts of [
      { instance: -1, sequence: 0n },
      { instance: 65_536, sequence: 0n },
      { instance: 1.5, sequence: 0n },
      { instance: 0, sequence: -1n },
      { instance: 0, sequence: 2n ** 48n },
    ])
      expect(() => composeRaw(parts)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
    expect(splitRaw(M64)).toEqual({ instance: 65_535, sequence: 2n ** 48n - 1n })
    expect(() => multiplicative({ multiplier: 2n, offset: 0n })).toThrow(/odd/)
    expect(() => feistel({ key: 0n })).toThrow(/key must not be 0/)
    expect(() => feistel({ key: 1n, rounds: 1 })).toThrow(/rounds/)
  })
})

describe('a generator', () => {
  it('warns of public keys, unless they are wanted', () => {
    const warnings: string[] = []
    const nothing = (): void => {}
    const log = {
      debug: nothing,
      info: nothing,
      error: nothing,
      warn: (text: string) => void warnings.push(text),
    }
    const make = (permutation: Permutation) =>
      permutedIds({ instance: 1, source: memoryCounter(), permutation, log })
    make(multiplicative('public'))
    make(feistel({ key: 1n }))
    expect(warnings).toEqual([])
    make(multiplicative())
    make(feistel())
    expect(warnings).toHaveLength(2)
    expect(warnings[0]).toContain('anyone can decode')
  })

  it('gives the sequence in order and without a gap, one by one and in batches', async () => {
    const ids = permutedIds({
      instance: 42,
      source: memoryCounter(),
      permutation: feistel('public'),
      blockSize: 100,
    })
    const seen: bigint[] = []
    for (let i = 0; i < 700; i++) seen.push(await ids.next())
    const batch = new BigUint64Array(1000)
    await ids.fill(batch)
    seen.push(...batch)
    while (seen.length < 2300) seen.push(ids.tryNext() ?? (await ids.next()))
    const parts = seen.map((id) => ids.decode(id))
    expect(new Set(parts.map((p) => p.instance))).toEqual(new Set([42]))
    // Numbers that wait in the window of `next` come after those of a batch, so they are all there but not in order.
    expect(new Set(seen).size).toBe(2300)
    expect(seen.every((id) => ids.encode(ids.decode(id)) === id)).toBe(true)
    expect(ids.encode({ instance: 42, sequence: 0n })).toBe(seen[0])
    await ids.close()
    expect(() => ids.tryNext()).toThrow(expect.objectContaining({ code: 'IDS_STOPPED' }))
    await expect(ids.fill(batch)).rejects.toMatchObject({ code: 'IDS_STOPPED' })
  })

  it('refuses options that cannot work', () => {
    expect(() =>
      permutedIds({
        instance: 70_000,
        source: memoryCounter(),
        blockSize: 0,
        permutation: feistel('public'),
      }),
    ).toThrow(/instance.*blockSize/)
    expect(() =>
      permutedIds({
        instance: { acquire: () => Promise.reject(new Error('not asked')) },
        source: memoryCounter(),
        permutation: feistel('public'),
      }),
    ).toThrow(/all machines share/)
  })
})

const vectors = fileURLToPath(new URL('../../../shared/vectors/permid64.json', import.meta.url))
/** Only where the whole file of known answers lies beside the checkout; the formulas above cover the rest. */
const known = [
  vectors,
  fileURLToPath(new URL('../../../../shared/vectors/permid64.json', import.meta.url)),
].find(existsSync)
describe('the known answers of permid64', () => {
  it('agree with every one of them that is at hand', () => {
    const { ids, codec } = known === undefined ? OWN : (JSON.parse(readFileSync(known, 'utf8')) as typeof OWN)
    for (const v of ids) {
      const raw = composeRaw({ instance: v.instance, sequence: BigInt(v.sequence) })
      const m = multiplicative('public').encode(raw)
      const f = feistel('public').encode(raw)
      expect([m, f]).toEqual([BigInt(v.multiplicative), BigInt(v.feistel)])
      expect([base62.encode(m), crockford32.encode(m)]).toEqual([v.base62, v.crockford32])
      expect([base62.encode(f), crockford32.encode(f)]).toEqual([v.feistelBase62, v.feistelCrockford32])
      expect(base62.decode(v.base62)).toBe(m)
      expect(crockford32.decode(v.feistelCrockford32)).toBe(f)
    }
    for (const v of codec) {
      expect([base62.encode(BigInt(v.value)), crockford32.encode(BigInt(v.value))]).toEqual([
        v.base62,
        v.crockford32,
      ])
    }
    expect(ids.length).toBeGreaterThan(0)
  })
})

/** Computed by the formulas. */
const OWN = {
  ids: [
    {
      instance: 42,
      sequence: '1',
      multiplicative: '4784898791635981200',
      base62: '5hSt0VheoqW',
      crockford32: '44SV035WTH4WG',
      feistel: '6717605060875388645',
      feistelBase62: '80EhYCtY1X3',
      feistelCrockford32: '5TEDT6RHDG1Q5',
    },
  ],
  codec: [{ value: '42', base62: '0000000000g', crockford32: '000000000001A' }],
}
