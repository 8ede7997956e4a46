import { type Alternatives, chooseAcyclic } from './acyclic-solver.ts'

/** Searches that shrinking may cost, and their size together: a search over n nodes takes time and memory of n. */
const SEARCHES_MAX = 400
const NODES_SEARCHED_MAX = 20_000_000
/** A part that is harder than this is taken for one that has a choice. */
const CONFLICTS_MAX = 5_000

/**
 * Shrinks a set of pairs for which no choice is acyclic, by delta debugging (Zeller and Hildebrandt 2002): parts are left
 * out, halves first, as long as what remains has no choice either. `met` are the pairs that contradictions were found
 * in, the likeliest first.
 *
 * Guarantee: no choice for the answer is acyclic. It is minimal (each pair is needed) unless a bound or the time ended
 * the shrinking. Undefined when not even `met` as a whole could be shown to have no choice.
 */
export function smallestCore(problem: Alternatives, met: readonly number[]): readonly number[] | undefined {
  let searches = Math.min(SEARCHES_MAX, Math.floor(NODES_SEARCHED_MAX / Math.max(1, problem.nodes)))
  const impossible = (pairs: readonly number[]): boolean => {
    if (pairs.length === 0 || searches <= 0 || problem.expired()) return false
    searches -= 1
    return chooseAcyclic({ ...part(problem, pairs), conflictsMax: CONFLICTS_MAX }).kind === 'impossible'
  }
  let core = firstThatHolds(met, impossible)
  if (core === undefined) return undefined
  for (let size = core.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < core.length; ) {
      const without: readonly number[] = core.toSpliced(at, size)
      if (impossible(without)) core = without
      else at += size
    }
  }
  return core
}

/** The first of `met` that suffice: few when the contradiction is a small one. */
function firstThatHolds(
  met: readonly number[],
  impossible: (pairs: readonly number[]) => boolean,
): readonly number[] | undefined {
  for (let size = 8; ; size *= 4) {
    const first = met.slice(0, size)
    if (impossible(first)) return first
    if (size >= met.length) return undefined
  }
}

/** The same problem with these pairs only, numbered anew. */
function part(problem: Alternatives, pairs: readonly number[]): Alternatives {
  return {
    ...problem,
    pairs: pairs.length,
    edgesOf: (literal, emit) => problem.edgesOf((pairs[literal >> 1] as number) * 2 + (literal & 1), emit),
    hint: (pair) => problem.hint(pairs[pair] as number),
  }
}
