import { checkArguments, isText } from '../../core/options.ts'
import { type HistoryEvent, isClient } from '../operation.ts'
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
  return maps.map(({ value, line, incomparable }) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Set) {
      throw new MalformedHistoryError(line, `expected a map, got ${shown(value)}`)
    }
    if (value instanceof Map) throw new MalformedHistoryError(line, 'an event has a key that is no keyword')
    const { f } = value as { f?: unknown }
    const name = typeof f === 'string' ? f.replace(/^.*\/(?=.)/, '') : f
    const event = eventOf({ ...value, ...(f === undefined ? {} : { f: name }) }, line)
    // What the nemesis tells, and what goes with an error, is not compared.
    if (incomparable !== undefined && isClient(event.process) && !comparable(event)) throw incomparable
    return event
  })
}

function comparable({ process, value, key, result }: HistoryEvent): boolean {
  const finite = (part: unknown): boolean => {
    if (typeof part === 'number') return Number.isFinite(part)
    if (typeof part !== 'object' || part === null) return true
    if (part instanceof Map) return [...part].every(finite)
    return (part instanceof Set ? [...part] : Object.values(part)).every(finite)
  }
  return [process, value, key, result].every(finite)
}
