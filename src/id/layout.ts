import { type Check, checkOptions, optionsOf, show } from '../core/options.ts'

/** What an id says once it is decoded: which generator made it, and how many that one had made before. */
export interface IdParts {
  /** 0 to 65 535. */
  readonly instance: number
  /** 0 to 2^48 - 1. */
  readonly sequence: bigint
}

export const INSTANCE_MAX = 0xffff
export const SEQUENCE_MAX = 2n ** 48n - 1n
export const ID_MAX = 2n ** 64n - 1n

/**
 * `instance << 48 | sequence`: the value that goes through the permutation.
 * @throws ConfigError for a part out of range; nothing is ever cut off to fit
 */
export function composeRaw(parts: IdParts): bigint {
  const { instance, sequence } = optionsOf('id', parts)
  checkOptions('id', {}, [], [isInstance('instance', instance), isSequence('sequence', sequence)])
  return (BigInt(instance) << 48n) | sequence
}

/** @throws ConfigError when `raw` is no unsigned 64-bit integer */
export function splitRaw(raw: bigint): IdParts {
  checkId('raw', raw)
  return { instance: Number(raw >> 48n), sequence: raw & SEQUENCE_MAX }
}

export function checkId(name: string, id: bigint): void {
  checkOptions('id', {}, [], [isId(name, id)])
}

export function isId(name: string, id: unknown): Check {
  return (
    (typeof id === 'bigint' && id >= 0n && id <= ID_MAX) ||
    `${name} must be a bigint from 0 to 2^64 - 1, got ${typeof id === 'bigint' ? id : typeof id}`
  )
}

export function isInstance(name: string, instance: unknown): Check {
  return (
    (Number.isInteger(instance) && (instance as number) >= 0 && (instance as number) <= INSTANCE_MAX) ||
    `${name} must be a whole number from 0 to ${INSTANCE_MAX}, got ${show(instance)}`
  )
}

export function isSequence(name: string, sequence: unknown): Check {
  return (
    (typeof sequence === 'bigint' && sequence >= 0n && sequence <= SEQUENCE_MAX) ||
    `${name} must be a bigint from 0 to 2^48 - 1, got ${typeof sequence === 'bigint' ? sequence : typeof sequence}`
  )
}
