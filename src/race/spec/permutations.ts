import type { Permutation, Spec, SpecStep } from './spec.ts'

/** The permutations of a spec in the tester's order: the listed ones, or every interleaving of the sessions. Pure. */
export function* permutationsOf({ permutations, sessions }: Spec): Generator<Permutation> {
  if (permutations !== undefined) yield* permutations
  else yield* interleavings(sessions.map(({ steps }) => steps))
}

/** Each takes the next step from one of the piles; the first pile's steps come first. */
function* interleavings(piles: readonly (readonly SpecStep[])[]): Generator<Permutation> {
  if (piles.every((pile) => pile.length === 0)) yield []
  for (const [index, [step, ...rest]] of piles.entries()) {
    if (step === undefined) continue
    for (const after of interleavings(piles.with(index, rest))) yield [{ step, blockers: [] }, ...after]
  }
}
