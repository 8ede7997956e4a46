import { checkFits, type SequenceSource } from './source.ts'

/** A counter that begins at 0 with each call and forgets: for tests and benchmarks only. */
export function memoryCounter(): SequenceSource {
  let next = 0
  return {
    shared: false,
    open: async () => ({
      async reserve(count) {
        checkFits(next, count)
        next += count
        return next - count
      },
      close: async () => {},
    }),
  }
}
