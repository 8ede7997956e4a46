import { checkArguments, isText } from '../../core/options.ts'
import type { HistoryEvent } from '../operation.ts'
import { MalformedHistoryError } from '../transactions/malformed.ts'
import { parseEdnHistory } from './edn-history.ts'

export interface PorcupineHistory {
  readonly events: HistoryEvent[]
  /** What an object holds that nobody wrote. */
  readonly initial: unknown
  /** The model that the log is of. */
  readonly model: 'cas-register' | 'kv'
}

/**
 * Reads the logs that Porcupine is tested with. A text log of Jepsen's etcd test has lines like
 * `INFO  jepsen.util - 3	:ok	:cas	[3 0]`; there `:fail :cas` says that it compared unequal, and `:fail :read :timed-out`
 * that nothing was read. A key-value log has maps like `{:process 0, :type :ok, :f :get, :key "4", :value "x"}`; there
 * an absent key reads as an empty text.
 * @throws MalformedHistoryError with the line
 */
export function parsePorcupine(text: string): PorcupineHistory {
  checkArguments('parsePorcupine', isText('text', text))
  if (/^\s*[{[;]/.test(text)) return { events: parseEdnHistory(text), initial: '', model: 'kv' }
  const events: HistoryEvent[] = []
  let line = 0
  for (const content of text.split('\n')) {
    line++
    if (content.trim() === '') continue
    const event = eventOfLine(content, line)
    if (event !== undefined) events.push(event)
  }
  if (events.length === 0) throw new MalformedHistoryError(line, 'the history holds no operation')
  return { events, initial: null, model: 'cas-register' }
}

const LINE = /^INFO\s+jepsen\.util\s+-\s+(\S+)\s+:(invoke|ok|fail|info)\s+:(\S+)\s+(.+?)\s*$/

function eventOfLine(content: string, line: number): HistoryEvent | undefined {
  const match = LINE.exec(content)
  if (match === null) {
    // Other loggers and the nemesis write into the same file.
    if (/^(INFO|WARN|DEBUG)\b/.test(content) && !/jepsen\.util\s+-\s+\d/.test(content)) return undefined
    throw new MalformedHistoryError(
      line,
      `expected "INFO  jepsen.util - PROCESS :TYPE :OPERATION VALUE", got ${content.slice(0, 60)}`,
    )
  }
  const [, process, type, f, rest] = match as unknown as [
    string,
    string,
    HistoryEvent['type'],
    string,
    string,
  ]
  if (!/^\d+$/.test(process)) return undefined
  if (!['read', 'write', 'cas'].includes(f)) {
    throw new MalformedHistoryError(line, `operation must be read, write or cas, got ${f}`)
  }
  const at = { process: Number(process), f, line }
  if (rest === ':timed-out') return { ...at, type: type === 'fail' && f !== 'read' ? 'info' : type }
  const value = porcupineValue(f, rest, line)
  if (type === 'fail' && f === 'cas') return { ...at, type: 'ok', value, result: false }
  return { ...at, type, value }
}

function porcupineValue(f: string, text: string, line: number): unknown {
  if (f === 'cas') {
    const pair = /^\[(-?\d+) (-?\d+)\]$/.exec(text)
    if (pair === null) throw new MalformedHistoryError(line, `cas takes a pair like [1 2], got ${text}`)
    return [wholeOf(pair[1] as string), wholeOf(pair[2] as string)]
  }
  if (text === 'nil') return null
  if (/^-?\d+$/.test(text)) return wholeOf(text)
  throw new MalformedHistoryError(line, `a value must be a number or nil, got ${text.slice(0, 40)}`)
}

/** With all its digits. */
function wholeOf(text: string): number | bigint {
  const number = Number(text)
  return Number.isSafeInteger(number) ? number : BigInt(text)
}
