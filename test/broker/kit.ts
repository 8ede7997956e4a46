import { afterEach, describe, expect, it } from 'vitest'
import type { TestKit } from '../../src/testing/broker-contract.ts'

export const kit: TestKit = {
  describe,
  it,
  afterEach,
  equal: (actual, expected) => expect(actual).toEqual(expected),
}
