import { MalformedHistoryError } from '../transactions/malformed.ts'

/** The text of one JSON value, and the line on which it begins. */
export interface JsonItem {
  readonly json: string
  readonly line: number
}

/** Whether a text begins as an array: all events of a history in one, as elle-cli reads them. */
export function beginsArray(text: string): boolean {
  return /^\uFEFF?\s*\[/.test(text)
}

/**
 * The items of a text that is one JSON array, each uncut with its line, so that a fault in one can be told with its
 * place. What is between the commas is not looked into.
 * @throws MalformedHistoryError when the array does not end, or more follows
 */
export function* itemsOf(text: string): Generator<JsonItem> {
  // Whatever can open, close, part or hide: strings whole, so that a bracket in a text counts for nothing.
  const tokens = /"(?:[^"\\]|\\.)*"|[[\]{},\n]|[^\s"[\]{},]+/g
  let [line, began, depth, items] = [1, 1, 0, 0]
  let from: number | undefined
  let closed = false
  for (const { 0: token, index } of text.replace(/^\uFEFF/, ' ').matchAll(tokens)) {
    if (token === '\n') line++
    else if (closed) throw new MalformedHistoryError(line, 'more follows the array of events')
    else if (depth === 0) depth = 1
    else if (depth === 1 && (token === ',' || token === ']')) {
      if (from !== undefined) yield { json: text.slice(from, index), line: began }
      else if (token === ',' || items > 0)
        throw new MalformedHistoryError(line, `an event is missing before "${token}"`)
      from = undefined
      items++
      closed = token === ']'
    } else {
      if (from === undefined) [from, began] = [index, line]
      if (token === '[' || token === '{') depth++
      else if (token === ']' || token === '}') depth--
    }
  }
  if (!closed) throw new MalformedHistoryError(line, '"]" is missing: the array of events is cut off')
}
