import type { Operation } from './operation.ts'

/** Operations that may be looked at in all: the halving of a long history is given up. */
const WORK_MAX = 20_000_000

/**
 * The index of the operation whose answer ends the longest linearizable prefix of a history that is not linearizable: with
 * that answer there is no order, and before it there is one. `shown` are operations that show why; the prefix mostly ends
 * with the last of their answers. Undefined when `holds` does not know of some prefix, or after too much work.
 *
 * What holds of a history holds of its prefixes, so it is found by halving, from `shown` backwards in growing steps. Up to
 * `rightBefore`, a position, it is known to hold.
 */
export function endOfLongestPrefix(
  operations: readonly Operation[],
  shown: readonly number[],
  holds: (prefix: readonly Operation[]) => boolean | undefined,
  rightBefore = 0,
): number | undefined {
  const answers = operations
    .flatMap(({ known, completedAt }, index) => (known ? { index, completedAt } : []))
    .sort((a, b) => a.completedAt - b.completedAt)
  const right = answers.findLastIndex(({ completedAt }) => completedAt < rightBefore)
  let [good, bad, work] = [right, answers.length - 1, 0]
  const look = (at: number): boolean => {
    work += operations.length
    const until = answers[at]?.completedAt ?? 0
    const holding = work > WORK_MAX ? undefined : holds(prefixOf(operations, until))
    if (holding === true) good = at
    if (holding === false) bad = at
    return holding !== undefined
  }
  const last = Math.max(...shown.map((i) => operations[i]?.completedAt ?? 0).filter(Number.isFinite))
  const guess = answers.findIndex(({ completedAt }) => completedAt >= last)
  let at = guess < 0 ? bad : guess
  for (let step = 1; at > good; step *= 2) {
    if (at < bad && !look(at)) return undefined
    if (at < bad) break
    at = bad - step
  }
  while (bad - good > 1) if (!look((good + bad) >> 1)) return undefined
  return answers[bad]?.index
}

/** What was known once that answer had come: what was under way then has none yet. */
function prefixOf(operations: readonly Operation[], until: number): Operation[] {
  const prefix: Operation[] = []
  for (const operation of operations) {
    if (operation.invokedAt > until) continue
    prefix.push(
      operation.completedAt <= until
        ? operation
        : { ...operation, known: false, output: undefined, completedAt: Number.POSITIVE_INFINITY },
    )
  }
  return prefix
}
