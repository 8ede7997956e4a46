import fc from 'fast-check'
import { base62, bigintsAsText, crockford32, decimal, idType, readId } from 'holdfast/id'
import { describe, expect, expectTypeOf, it } from 'vitest'

const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const invalid = expect.objectContaining({ code: 'PAYLOAD_INVALID' })
const ALPHABET = {
  base62: '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
  crockford32: '0123456789ABCDEFGHJKMNPQRSTVWXYZ',
}

describe.each([decimal, base62, crockford32])('$name', (text) => {
  it('reads what it wrote', () => {
    fc.assert(fc.property(uint64, (id) => text.decode(text.encode(id)) === id))
  })
  it('refuses other lengths, characters and overflow', () => {
    for (const bad of ['', '-1', ' 1', '1 ', '1.5', '1e3', 'é'.repeat(11), '0x10', 'ORD_1', '9'.repeat(21)])
      expect(() => text.decode(bad)).toThrow(invalid)
    expect(() => text.decode(undefined as unknown as string)).toThrow(invalid)
  })
})

describe('overflow', () => {
  it('is refused, not wrapped', () => {
    expect(base62.decode('LygHa16AHYF')).toBe(2n ** 64n - 1n)
    expect(() => base62.decode('LygHa16AHYG')).toThrow(invalid)
    expect(() => base62.decode('zzzzzzzzzzz')).toThrow(invalid)
    expect(crockford32.decode('FZZZZZZZZZZZZ')).toBe(2n ** 64n - 1n)
    expect(() => crockford32.decode('G000000000000')).toThrow(invalid)
    expect(() => decimal.decode('18446744073709551616')).toThrow(invalid)
    expect(() => decimal.encode(2n ** 64n)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })
})

it('Crockford is read leniently', () => {
  expect(crockford32.decode('ooooo-ooooo-o1a')).toBe(42n)
  expect(crockford32.decode('OOOOOOOOOOOIA')).toBe(42n)
  expect(crockford32.decode('00000000000la')).toBe(42n)
  expect(() => crockford32.decode('000000000001U')).toThrow(invalid)
})

describe.each([base62, crockford32])('the check digit of $name', (text) => {
  const alphabet = ALPHABET[text.name as 'base62' | 'crockford32']
  it('finds every single wrong character', () => {
    fc.assert(
      fc.property(uint64, (id) => {
        const good = text.encodeChecked(id)
        expect(text.decodeChecked(good)).toBe(id)
        for (let at = 0; at < good.length; at++) {
          for (const other of alphabet) {
            if (other === good[at]) continue
            expect(() => text.decodeChecked(good.slice(0, at) + other + good.slice(at + 1))).toThrow(invalid)
          }
        }
      }),
      { numRuns: 5 },
    )
  })
  it('finds neighbours that were exchanged', () => {
    let exchanged = 0
    let missed = 0
    fc.assert(
      fc.property(uint64, (id) => {
        const good = text.encodeChecked(id)
        for (let at = 0; at + 2 < good.length; at++) {
          const [a, b] = [good[at] as string, good[at + 1] as string]
          if (a === b) continue
          exchanged++
          try {
            text.decodeChecked(good.slice(0, at) + b + a + good.slice(at + 2))
            missed++
          } catch {}
        }
      }),
    )
    // Crockford's modulus is a prime above its base, so it finds all; the hybrid system misses one pair in about 2 000.
    expect(missed / exchanged).toBeLessThanOrEqual(text === crockford32 ? 0 : 0.005)
  })
})

describe('readId', () => {
  it('tells the forms by their length', () => {
    fc.assert(
      fc.property(uint64, (id) => {
        for (const prefix of ['', 'ORD_']) {
          expect(readId(prefix + base62.encode(id), 'base62').id).toBe(id)
          expect(readId(prefix + crockford32.encodeChecked(id)).id).toBe(id)
          expect(readId(prefix + decimal.encode(id), 'decimal').id).toBe(id)
        }
      }),
    )
    expect(readId('ORD_5hSt0VheoqW')).toEqual({
      id: 4784898791635981200n,
      text: 'base62',
      prefix: 'ORD',
      checked: false,
    })
    expect(readId('4784898791635981200').text).toBe('decimal')
    expect(readId(base62.encodeChecked(42n))).toMatchObject({ id: 42n, checked: true })
    expect(readId('00000000000').text).toBe('base62')
    expect(readId('0000000000000').text).toBe('crockford32')
  })
  it('does not guess where digits could be two forms', () => {
    expect(() => readId('12345678901')).toThrow(/say which/)
    expect(readId('12345678901', 'decimal').id).toBe(12345678901n)
    for (const bad of ['', 'ORD_', '_1', 'ORD_ORD_1', 'hello', '1'.repeat(21), '{}'])
      expect(() => readId(bad)).toThrow(invalid)
  })
})

describe('idType', () => {
  const OrderId = idType('ORD', { checkDigit: true })
  const CustomerId = idType('CUS')
  it('makes branded text and reads nothing else', () => {
    const order = OrderId.encode(42n)
    expect(order).toMatch(/^ORD_0000000000g.$/)
    expect(OrderId.decode(order)).toBe(42n)
    expect(OrderId.is(order)).toBe(true)
    for (const bad of [CustomerId.encode(42n), order.slice(0, -1), `${order}0`, order.toLowerCase(), 42]) {
      expect(OrderId.is(bad)).toBe(false)
      expect(() => OrderId.parse(bad as string)).toThrow(invalid)
    }
    expectTypeOf(order).toExtend<`ORD_${string}`>()
    expectTypeOf(order).not.toExtend<ReturnType<typeof CustomerId.encode>>()
    expectTypeOf<string>().not.toExtend<typeof order>()
  })
  it('is a Standard Schema', () => {
    expect(CustomerId['~standard'].validate(CustomerId.encode(7n))).toEqual({ value: 'CUS_00000000007' })
    expect(CustomerId['~standard'].validate('ORD_00000000007')).toHaveProperty('issues')
    expect(CustomerId['~standard'].validate(7)).toHaveProperty('issues')
  })
  it('refuses prefixes that could not be read back', () => {
    for (const prefix of ['', 'O_D', '1A', 'Ä', 'A'.repeat(17)])
      expect(() => idType(prefix)).toThrow(/prefix/)
  })
})

it('bigintsAsText keeps what JSON would round', () => {
  expect(JSON.stringify({ id: 2n ** 64n - 1n, n: 1 }, bigintsAsText)).toBe(
    '{"id":"18446744073709551615","n":1}',
  )
})
