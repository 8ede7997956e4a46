// biome-ignore-all lint/style/noNonNullAssertion: indices into arrays are bounded by construction
import { show } from '../show.ts'
import type { Operation } from './operation.ts'
import type { FastFailure } from './unique-register.ts'
import { Numbers } from './unique-values.ts'

/** One value of a stack: its push and the pop that gave it, as indices; -1 where nobody popped it. */
interface Life {
  readonly push: number
  pop: number
}

/**
 * What no order can explain in a stack: a value that was popped and never pushed; and, where values are each pushed once, one
 * popped before it was pushed, or twice; one popped from below another that was surely above it; "empty" while a value was surely inside (the conditions of
 * Henzinger, Sezgin and Vafeiadis, CONCUR 2013, as far as two values show them).
 *
 * Undefined says nothing: for stacks these are not all that can be wrong. A pop without an answer may have taken any
 * value that no other pop gave, so such a value is never surely inside.
 */
export function stackFault(operations: readonly Operation[]): FastFailure | undefined {
  const numbers = new Numbers(operations.length)
  const lives: Life[] = []
  let unique = true
  let unanswered = false
  for (const [i, { f, input, known }] of operations.entries()) {
    if (f === 'pop') unanswered ||= !known
    else if (input === null || input === undefined) return undefined
    else if (numbers.add(input, lives.length)) lives.push({ push: i, pop: -1 })
    else unique = false
  }
  const empties: number[] = []
  for (const [i, { f, output, known, completedAt }] of operations.entries()) {
    if (f !== 'pop' || !known) continue
    if (output === null || output === undefined) {
      empties.push(i)
      continue
    }
    const life = lives[numbers.of(output)]
    if (life === undefined) return fault(`It popped ${show(output)}, which nobody pushed.`, i)
    if (!unique) continue
    if (completedAt < operations[life.push]!.invokedAt)
      return fault(`It popped ${show(output)} before that was pushed.`, i, life.push)
    if (life.pop >= 0) return fault(`${show(output)} was popped twice.`, life.push, life.pop, i)
    life.pop = i
  }
  if (!unique) return undefined
  const stays = lives.filter(({ push, pop }) => operations[push]!.known && (pop >= 0 || !unanswered))
  return seenEmpty(operations, stays, empties) ?? poppedFromBelow(operations, lives, stays)
}

function fault(explanation: string, ...operations: number[]): FastFailure {
  return { explanation, operations }
}

/** When a value may have gone, at the earliest. */
function goneFrom(operations: readonly Operation[], { pop }: Life): number {
  return pop < 0 ? Number.POSITIVE_INFINITY : operations[pop]!.invokedAt
}

/** Those pushed before a moment, as the moment moves on: each looked at once. */
function byAnswer(operations: readonly Operation[], lives: readonly Life[]): Life[] {
  return [...lives].sort((a, b) => operations[a.push]!.completedAt - operations[b.push]!.completedAt)
}

function byBegin(operations: readonly Operation[], items: readonly number[]): number[] {
  return [...items].sort((a, b) => operations[a]!.invokedAt - operations[b]!.invokedAt)
}

function seenEmpty(
  operations: readonly Operation[],
  stays: readonly Life[],
  empties: readonly number[],
): FastFailure | undefined {
  const pushed = byAnswer(operations, stays)
  let next = 0
  let longest: Life | undefined
  for (const i of byBegin(operations, empties)) {
    const { invokedAt, completedAt } = operations[i]!
    for (; next < pushed.length && operations[pushed[next]!.push]!.completedAt < invokedAt; next++) {
      const life = pushed[next]!
      if (longest === undefined || goneFrom(operations, life) > goneFrom(operations, longest)) longest = life
    }
    if (longest === undefined || goneFrom(operations, longest) < completedAt) continue
    const value = show(operations[longest.push]!.input)
    return fault(
      `It answered that the stack was empty, but ${value} was inside all the time.`,
      i,
      longest.push,
    )
  }
  return undefined
}

/**
 * a was pushed before b, b before the pop of a began, and b was not popped before that had ended. Pops of a by their begin, with
 * the values pushed by then in a tree over the begins of their pushes, which gives the one that stays longest of those
 * that began after a push had ended.
 */
function poppedFromBelow(
  operations: readonly Operation[],
  lives: readonly Life[],
  stays: readonly Life[],
): FastFailure | undefined {
  const above = new LongestFrom(
    byBegin(
      operations,
      stays.map(({ push }) => push),
    ).map((push) => operations[push]!.invokedAt),
  )
  const pushed = byAnswer(operations, stays)
  const lifeOfPop = new Map(lives.filter(({ pop }) => pop >= 0).map((life) => [life.pop, life]))
  let next = 0
  for (const pop of byBegin(operations, [...lifeOfPop.keys()])) {
    const { invokedAt, completedAt, output } = operations[pop]!
    for (; next < pushed.length && operations[pushed[next]!.push]!.completedAt < invokedAt; next++) {
      const life = pushed[next]!
      above.add(operations[life.push]!.invokedAt, goneFrom(operations, life), life)
    }
    const { push } = lifeOfPop.get(pop)!
    const over = above.longestAfter(operations[push]!.completedAt)
    if (over === undefined || goneFrom(operations, over) < completedAt) continue
    const value = show(operations[over.push]!.input)
    return fault(
      `It popped ${show(output)} while ${value}, which was pushed after that, was still above it.`,
      ...[pop, push, over.push, over.pop].filter((i) => i >= 0),
    )
  }
  return undefined
}

/** Of what was added at or after a key, the one with the largest weight: a Fenwick tree, from the end. */
class LongestFrom {
  readonly #keys: readonly number[]
  readonly #best: ({ readonly weight: number; readonly life: Life } | undefined)[]

  /** All keys that will be added, ascending. */
  constructor(keys: readonly number[]) {
    this.#keys = keys
    this.#best = new Array(keys.length + 1).fill(undefined)
  }

  add(key: number, weight: number, life: Life): void {
    for (let i = this.#keys.length - this.#firstFrom(key); i < this.#best.length; i += i & -i) {
      const best = this.#best[i]
      if (best === undefined || weight > best.weight) this.#best[i] = { weight, life }
    }
  }

  longestAfter(key: number): Life | undefined {
    let longest: { readonly weight: number; readonly life: Life } | undefined
    for (let i = this.#keys.length - this.#firstFrom(key); i > 0; i -= i & -i) {
      const best = this.#best[i]
      if (best !== undefined && (longest === undefined || best.weight > longest.weight)) longest = best
    }
    return longest?.life
  }

  /** The number of keys below it. Keys are positions in the history and differ. */
  #firstFrom(key: number): number {
    let low = 0
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#keys[middle]! < key) low = middle + 1
      else high = middle
    }
    return low
  }
}
