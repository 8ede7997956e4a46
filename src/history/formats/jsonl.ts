import { checkArguments, isText } from '../../core/options.ts'
import { type HistoryEvent, isClient } from '../operation.ts'
import { NO_PROCESS } from '../transactions/formats/from-operations.ts'
import { MalformedHistoryError } from '../transactions/malformed.ts'
import { parseExact } from './exact-json.ts'
import { beginsArray, itemsOf, type JsonItem } from './json-array.ts'

/**
 * Reads JSON: one event a line, `{"process":0,"type":"ok","f":"read","value":3}`, or all events in one array. Empty lines
 * and fields of other names do not matter. Whole numbers beyond 2^53 keep their digits.
 * @throws MalformedHistoryError with the line
 */
export function parseJsonLines(text: string): HistoryEvent[] {
  checkArguments('parseJsonLines', isText('text', text))
  const events: HistoryEvent[] = []
  let last = 1
  for (const { json, line } of beginsArray(text) ? itemsOf(text) : linesOf(text)) {
    last = line
    let value: unknown
    try {
      value = parseExact(json)
    } catch (error) {
      throw new MalformedHistoryError(line, `no JSON: ${(error as Error).message}`)
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new MalformedHistoryError(line, `expected an object, got ${json.trim().slice(0, 60)}`)
    }
    events.push(eventOf(value as Record<string, unknown>, line))
  }
  if (events.length === 0) throw new MalformedHistoryError(last, 'the history holds no operation')
  return events
}

function* linesOf(text: string): Generator<JsonItem> {
  let line = 0
  for (let start = 0; start <= text.length; ) {
    let end = text.indexOf('\n', start)
    if (end < 0) end = text.length
    line++
    const from = start
    start = end + 1
    const json = text.slice(from, end)
    if (json.trim() !== '') yield { json: line === 1 ? json.replace(/^\uFEFF/, '') : json, line }
  }
}

const TYPES = ['invoke', 'ok', 'fail', 'info']

/** Checks one event's fields, however it was read. */
export function eventOf(fields: Readonly<Record<string, unknown>>, line: number): HistoryEvent {
  const { type, value, key, time, result, group } = fields
  // Elle's examples of transactions leave process and f out.
  const transaction = isTransaction(value)
  const process = fields.process ?? (transaction ? NO_PROCESS : undefined)
  const f = fields.f ?? (transaction ? 'txn' : undefined)
  if (typeof type !== 'string' || !TYPES.includes(type)) {
    throw new MalformedHistoryError(line, `type must be invoke, ok, fail or info, got ${shown(type)}`)
  }
  if (typeof process !== 'number' && typeof process !== 'string') {
    throw new MalformedHistoryError(line, `process must be a number or a text, got ${shown(process)}`)
  }
  if (typeof f !== 'string' && isClient(process)) {
    throw new MalformedHistoryError(line, `f must name the operation, got ${shown(f)}`)
  }
  return {
    type: type as HistoryEvent['type'],
    process,
    f: typeof f === 'string' ? f : '',
    ...(value === undefined ? {} : { value }),
    ...(key === undefined ? {} : { key }),
    ...(typeof time === 'number' ? { time } : {}),
    ...(result === undefined ? {} : { result }),
    ...(typeof group === 'string' ? { group } : {}),
    line,
  }
}

/** A list of micro-operations, such as `[["r", "x", 1]]`. */
function isTransaction(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((micro) => Array.isArray(micro) && micro.length >= 2 && typeof micro[0] === 'string')
  )
}

/** What stands there, as JSON and in short. */
export function shown(value: unknown): string {
  return value === undefined
    ? 'nothing'
    : (JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? `${v}` : v)) ?? String(value)).slice(0, 60)
}
