import { checkArguments, isCount } from '../core/options.ts'
/**
 * A random source that repeats: the same seed gives the same numbers, uniform in [0, 1). For tests, not for secrets.
 * @see mulberry32, https://gist.github.com/tommyettinger/46a874533244883189143505d203312c
 */
export function seededRandom(seed: number): () => number {
  checkArguments('seededRandom', isCount('seed', seed, 0, 2 ** 32 - 1))
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
