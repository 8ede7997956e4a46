/**
 * A bijection of the unsigned 64-bit integers.
 *
 * This hides how many ids there are from people who look at them. It is not encryption: who has the keys, or a few
 * pairs of an id and its sequence, or simply enough ids of one generator, can undo it. Never let an id be the only
 * thing that guards what it names.
 */
export interface Permutation {
  readonly name: string
  /** True where the keys are those that everybody has, and nobody said that this is wanted. */
  readonly warnPublicKeys: boolean
  /** Both take and give 0 to 2^64 - 1. @throws ConfigError for anything else */
  encode(raw: bigint): bigint
  decode(id: bigint): bigint
  /**
   * Writes the ids of `count` raw values that follow each other, from `high * 2^32 + low` on, into `out` from index
   * `at` on: two halves of 32 bits each, the low one first. No bigint is made.
   */
  fill(out: Uint32Array, at: number, count: number, high: number, low: number): void
}
