import { SpecMalformedError } from './errors.ts'
import type { ParsedBlocker, ParsedEntry, ParsedSpec } from './parse.ts'
import type { Blocker, PermutationStep, Spec, SpecSession, SpecStep } from './spec.ts'

/**
 * Leads the names in permutations to their steps. Pure.
 * @throws SpecMalformedError for a step that is there twice or not at all, or that would wait for its own session
 */
export function resolveNames(parsed: ParsedSpec): Spec {
  const sessions = parsed.sessions.map(
    (session, index): SpecSession => ({
      ...session,
      steps: session.steps.map((step) => ({ ...step, session: index })),
    }),
  )
  const steps = stepsByName(sessions)
  const permutations = parsed.permutations.map((entries) => entries.map((entry) => resolve(entry, steps)))
  const used = new Set(permutations.flat().map(({ step }) => step))
  return {
    setups: parsed.setups,
    teardown: parsed.teardown,
    sessions,
    permutations: permutations.length === 0 ? undefined : permutations,
    unused:
      permutations.length === 0
        ? []
        : [...steps.values()]
            .filter((step) => !used.has(step))
            .map(({ name }) => name)
            .sort(),
  }
}

function stepsByName(sessions: readonly SpecSession[]): Map<string, SpecStep> {
  const steps = new Map<string, SpecStep>()
  for (const step of sessions.flatMap((session) => session.steps)) {
    if (steps.has(step.name)) throw new SpecMalformedError(`duplicate step name: ${step.name}`)
    steps.set(step.name, step)
  }
  return steps
}

function resolve({ name, blockers }: ParsedEntry, steps: ReadonlyMap<string, SpecStep>): PermutationStep {
  const step = steps.get(name)
  if (step === undefined) throw new SpecMalformedError(`undefined step "${name}" specified in permutation`)
  return { step, blockers: blockers.map((blocker) => resolveBlocker(blocker, step, steps)) }
}

function resolveBlocker(blocker: ParsedBlocker, of: SpecStep, steps: ReadonlyMap<string, SpecStep>): Blocker {
  if (blocker === '*') return { kind: 'once' }
  const { name, notices } = blocker
  const step = steps.get(name)
  if (step === undefined) {
    throw new SpecMalformedError(
      `undefined blocking step "${name}" referenced in permutation step "${of.name}"`,
    )
  }
  // It would never be reported: a session runs its next step only when the one before is done.
  if (step.session === of.session) {
    throw new SpecMalformedError(`permutation step "${of.name}" cannot block on its own session`)
  }
  return notices === undefined ? { kind: 'step', step } : { kind: 'notices', step, count: notices }
}
