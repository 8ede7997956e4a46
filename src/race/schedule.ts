import { ConfigError } from '../core/index.ts'
import { checkArguments, isCount, isList, isText } from '../core/options.ts'

/**
 * A schedule as one word: which task took each step, run-length encoded, tasks lettered in the order of `tasks`.
 * `r1:a2b3a` is two steps of the first task, three of the second, one of the first; whatever is left runs in order.
 */
export function encodeSchedule(choices: readonly number[]): string {
  checkArguments('encodeSchedule', isList('choices', choices))
  let text = 'r1:'
  for (let at = 0; at < choices.length; ) {
    let end = at
    while (choices[end] === choices[at]) end += 1
    text += String.fromCharCode(97 + (choices[at] as number)) + (end - at === 1 ? '' : String(end - at))
    at = end
  }
  return text
}

/** @throws ConfigError for anything that `encodeSchedule` does not write */
export function decodeSchedule(text: string, taskCount: number): number[] {
  checkArguments('decodeSchedule', isText('text', text), isCount('taskCount', taskCount, 1, 26))
  const problem = (why: string) => new ConfigError('replay', [`"${text.slice(0, 60)}" ${why}`])
  if (!/^r1:([a-z]([1-9]\d{0,5})?)*$/.test(text)) throw problem('is no schedule: it looks like r1:a2b3a')
  return [...text.slice(3).matchAll(/([a-z])(\d*)/g)].flatMap(([, letter = 'a', count]) => {
    const index = letter.charCodeAt(0) - 97
    if (index >= taskCount) throw problem(`names task ${letter}, and there are ${taskCount} tasks`)
    return Array<number>(count ? Number(count) : 1).fill(index)
  })
}

/** How often the schedule left a task that could have gone on. */
export function preemptions(choices: readonly number[], ready: readonly (readonly number[])[]): number {
  let count = 0
  for (let at = 1; at < choices.length; at += 1) {
    const before = choices[at - 1] as number
    if (choices[at] !== before && ready[at]?.includes(before)) count += 1
  }
  return count
}
