import { canonical } from '../../core/canonical.ts'
import type { Model } from './model.ts'
import type { Operation } from './operation.ts'

/** In place of every value that no answer can tell from another. */
const UNSEEN = Symbol('unseen')

/**
 * The same register or key, with all values that no operation of this history ever observed made one. A value counts as
 * observed when a read answered it, a compare-and-set expected it, or appends can still make one of those out of it.
 * What remains behaves the same towards every answer in the history, with far fewer states: after an unseen value only
 * a write matters, in whatever order appends came.
 */
export function observedOnly(model: Model, operations: readonly Operation[]): Model {
  const values = new Set<string>()
  const texts = new Set<string>()
  const observe = (value: unknown): void => {
    if (typeof value === 'string') texts.add(value)
    values.add(canonical(value ?? null))
  }
  let appends = false
  for (const { f, input, output, known } of operations) {
    if ((f === 'read' || f === 'get') && known) observe(output)
    else if (f === 'cas' && Array.isArray(input)) observe(input[0])
    else if (f === 'append') appends = true
  }
  const sorted = [...texts].sort()
  const canBecomeObserved = (value: unknown): boolean => {
    if (values.has(canonical(value ?? null))) return true
    if (!appends) return false
    const text = `${value ?? ''}`
    let low = 0
    let high = sorted.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sorted[middle] as string) < text) low = middle + 1
      else high = middle
    }
    return sorted[low]?.startsWith(text) === true
  }
  const seen = (value: unknown): unknown => (value === undefined || canBecomeObserved(value) ? value : UNSEEN)
  return {
    ...model,
    init: () => seen(model.init()),
    hash: (state) => (state === UNSEEN ? 'unseen' : canonical(state)),
    step(state, operation) {
      if (state !== UNSEEN) return seen(model.step(state, operation))
      switch (operation.f) {
        case 'write':
        case 'put':
        case 'delete':
          return seen(model.step(null, operation))
        case 'append':
          return UNSEEN
        case 'cas':
          return operation.known && operation.output !== false ? undefined : UNSEEN
        default:
          return operation.known ? undefined : UNSEEN
      }
    },
  }
}

/** How a state is shown to a person. */
export function showObserved(state: unknown, show: (state: unknown) => string): string {
  return state === UNSEEN ? 'a value that nobody read' : show(state)
}
