import type { HistoryEvent } from '../operation.ts'
import { MalformedHistoryError } from '../transactions/malformed.ts'
import { parseEdnItems } from './edn.ts'
import { eventOf } from './jsonl.ts'

/**
 * Reads a history in EDN as Jepsen writes it (`history.edn`): one map per event, one after the other or together in a
 * vector or list.
 * @throws MalformedHistoryError with the line
 */
export function parseEdnHistory(text: string): HistoryEvent[] {
  const maps = parseEdnItems(text)
  if (maps.length === 0) throw new MalformedHistoryError(1, 'the history holds no operation')
  return maps.map(({ value, line }) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Set) {
      throw new MalformedHistoryError(line, `expected a map, got ${String(value).slice(0, 60)}`)
    }
    if (value instanceof Map) throw new MalformedHistoryError(line, 'an event has a key that is no keyword')
    return eventOf(value as Record<string, unknown>, line)
  })
}
