import { checkArguments, isText } from '../../core/options.ts'
import type { HistoryEvent } from '../operation.ts'
import { MalformedHistoryError } from '../transactions/malformed.ts'
import { parseEdnItems } from './edn.ts'
import { eventOf, shown } from './jsonl.ts'

/**
 * Reads a history in EDN as Jepsen writes it (`history.edn`): one map per event, one after the other or together in a
 * vector or list. The namespace of an operation (`:my.test/read`) is dropped.
 * @throws MalformedHistoryError with the line
 */
export function parseEdnHistory(text: string): HistoryEvent[] {
  checkArguments('parseEdnHistory', isText('text', text))
  const maps = parseEdnItems(text)
  if (maps.length === 0) throw new MalformedHistoryError(1, 'the history holds no operation')
  return maps.map(({ value, line }) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Set) {
      throw new MalformedHistoryError(line, `expected a map, got ${shown(value)}`)
    }
    if (value instanceof Map) throw new MalformedHistoryError(line, 'an event has a key that is no keyword')
    const { f } = value as { f?: unknown }
    const name = typeof f === 'string' ? f.replace(/^.*\/(?=.)/, '') : f
    return eventOf({ ...value, ...(f === undefined ? {} : { f: name }) }, line)
  })
}
