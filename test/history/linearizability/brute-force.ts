import type { Model } from '../../../src/history/linearizability/model.ts'
import type { Operation } from '../../../src/history/linearizability/operation.ts'

/** Tries every order, with no cleverness and no memory. For a handful of operations. */
export function linearizableByForce(operations: readonly Operation[], model: Model): boolean {
  const go = (left: readonly Operation[], state: unknown): boolean => {
    if (left.every((o) => !o.known)) return true
    const firstAnswer = Math.min(...left.map((o) => o.completedAt))
    return left.some((o) => {
      if (o.invokedAt > firstAnswer) return false
      const next = model.step(state, o)
      return (
        next !== undefined &&
        go(
          left.filter((other) => other !== o),
          next,
        )
      )
    })
  }
  return go(operations, model.init())
}
