import { inspect } from 'node:util'
import { type } from 'arktype'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { PayloadError } from '../../src/core/errors.ts'
import { checkSchema, type StandardSchemaV1 } from '../../src/core/standard-schema.ts'

const SCHEMAS: Record<string, StandardSchemaV1> = {
  zod: z.object({
    lines: z.array(z.object({ count: z.number(), card: z.literal('visa'), note: z.string() })),
  }),
  valibot: v.object({
    lines: v.array(v.object({ count: v.number(), card: v.literal('visa'), note: v.string() })),
  }),
  arktype: type({ lines: type({ count: 'number', card: "'visa'", note: 'string' }).array() }),
}

describe.each(Object.entries(SCHEMAS))('a schema of %s', (_library, schema) => {
  it('gives what fits', async () => {
    const value = { lines: [{ count: 1, card: 'visa', note: '' }] }
    expect(await checkSchema('payload', schema, value)).toEqual(value)
  })

  it('names each field that does not fit, and repeats no value where a log would show it', async () => {
    const check = async () =>
      checkSchema('payload', schema, { lines: [{ count: 'confidential', card: 'confidential' }] })
    const error: unknown = await check().catch((thrown) => thrown)
    expect(error).toBeInstanceOf(PayloadError)
    const { issues } = error as PayloadError
    expect(Object.fromEntries(issues.map(({ path, message }) => [path, message]))).toEqual({
      '$.lines[0].count': 'a string that does not fit the schema',
      '$.lines[0].card': 'a string that does not fit the schema',
      '$.lines[0].note': 'not given',
    })
    for (const { detail } of issues) expect(detail).toMatch(/\w/)
    expect(inspect(error, { depth: 9 }) + JSON.stringify(error)).not.toContain('confidential')
  })
})

it('does not say that a field is missing which the schema makes', () => {
  const schema = z
    .object({ price: z.number(), count: z.number() })
    .transform(({ price, count }) => ({ total: price * count }))
    .refine(({ total }) => total > 0, { path: ['total'], message: 'nothing to pay' })
  expect(() => checkSchema('payload', schema, { price: 0, count: 2 })).toThrow(
    expect.objectContaining({
      message: 'payload: $.total: not given',
      issues: [expect.objectContaining({ detail: 'nothing to pay' })],
    }),
  )
})

it('what a library says of the whole has the path $', () => {
  const schema = z.string().refine(() => false, 'no word of ours')
  expect(() => checkSchema('payload of "a"', schema, 'x')).toThrow(
    expect.objectContaining({
      message: 'payload of "a": a string that does not fit the schema',
      issues: [expect.objectContaining({ path: '$', detail: 'no word of ours' })],
    }),
  )
})
