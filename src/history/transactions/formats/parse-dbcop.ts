import { checkArguments, isBytes } from '../../../core/options.ts'
import { decodeUtf8 } from '../../formats/utf8.ts'
import { FAIL, OK, type TransactionHistory, TransactionHistoryBuilder } from '../history.ts'
import type { Datum } from '../intern.ts'
import { MalformedHistoryError } from '../malformed.ts'

/**
 * Histories of dbcop, in each of its forms: the binary file (`history.bincode`), the JSON of either generation
 * (`{ "data": [[{ "events": [{ "write", "variable", "value", "success" }], "success" }]] }` and sessions of
 * `{ "events": [{ "Read": { "variable", "version" } } or ["r", variable, version]], "committed" }`), and the text
 * notation (`[x:=1 y==2] [z==?]!`, sessions parted by dashes, `!` not committed).
 *
 * A read of 0 that nobody wrote to the variable is a read of the initial state, and so is a missing version.
 * @throws MalformedHistoryError with the line (text), the byte (binary) or the path (JSON).
 */
export function parseDbcop(bytes: Uint8Array): TransactionHistory {
  checkArguments('parseDbcop', isBytes('bytes', bytes))
  let first = 0
  while (first < bytes.length && (bytes[first] as number) <= 32) first++
  const head = String.fromCharCode(bytes[first] ?? 0)
  // A binary file begins with an 8-byte number, whose upper bytes are zero.
  if (bytes.length >= 8 && bytes[6] === 0 && bytes[7] === 0) return parseBincode(bytes)
  const text = decodeUtf8(bytes)
  if (head === '{' || /^\s*\[\s*(\[|\{|\])/.test(text)) return parseJson(text)
  return parseNotation(text)
}

interface Event {
  readonly write: boolean
  readonly key: Datum
  readonly value: Datum | null
}

interface Transaction {
  readonly events: readonly Event[]
  readonly committed: boolean
  readonly at: number
}

function build(sessions: readonly (readonly Transaction[])[], unit: string): TransactionHistory {
  const zeros = new Set<Datum>()
  let operations = 0
  for (const session of sessions) {
    for (const { events } of session) {
      for (const { write, key, value } of events) {
        operations++
        if (write && value === 0) zeros.add(key)
      }
    }
  }
  if (operations === 0) throw new MalformedHistoryError(1, 'the history holds no operation')
  const builder = new TransactionHistoryBuilder()
  sessions.forEach((session, s) => {
    for (const { events, committed, at } of session) {
      if (events.length === 0) continue
      builder.begin({ session: s, status: committed ? OK : FAIL, at })
      for (const { write, key, value } of events) {
        if (write) builder.write(key, value as Datum)
        else builder.read(key, value === 0 && !zeros.has(key) ? null : value)
      }
    }
  })
  return builder.finish({ definition: 'axiomatic', unit })
}

function parseBincode(bytes: Uint8Array): TransactionHistory {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  const need = (count: number, what: string): void => {
    if (at + count > bytes.length) {
      throw new MalformedHistoryError(at, `the file ends in the middle of ${what}`, 'byte')
    }
  }
  const whole = (what: string): number | bigint => {
    need(8, what)
    const value = view.getBigUint64(at, true)
    at += 8
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
  }
  const count = (what: string): number => {
    const value = whole(what)
    if (typeof value === 'bigint' || value > bytes.length) {
      throw new MalformedHistoryError(at - 8, `${what}: ${value} is more than the file can hold`, 'byte')
    }
    return value
  }
  const flag = (what: string): boolean => {
    need(1, what)
    const value = bytes[at++] as number
    if (value > 1) throw new MalformedHistoryError(at - 1, `${what} must be 0 or 1, got ${value}`, 'byte')
    return value === 1
  }
  for (const what of ['the id', 'the nodes', 'the variables', 'the transactions', 'the events']) whole(what)
  for (const what of ['the description', 'the start', 'the end']) {
    const length = count(`the length of ${what}`)
    need(length, what)
    at += length
  }
  const sessions: Transaction[][] = []
  let number = 0
  for (let s = count('the number of sessions'); s > 0; s--) {
    const session: Transaction[] = []
    for (let t = count('the number of transactions'); t > 0; t--) {
      const events: Event[] = []
      for (let e = count('the number of events'); e > 0; e--) {
        const write = flag('the kind of an event')
        const key = whole('a variable')
        const value = whole('a value')
        if (flag('the success of an event')) events.push({ write, key, value })
      }
      session.push({ events, committed: flag('the success of a transaction'), at: ++number })
    }
    sessions.push(session)
  }
  if (at !== bytes.length)
    throw new MalformedHistoryError(at, `${bytes.length - at} bytes follow the history`, 'byte')
  return build(sessions, 'transaction')
}

function parseJson(text: string): TransactionHistory {
  let root: unknown
  try {
    root = JSON.parse(text)
  } catch (error) {
    throw new MalformedHistoryError(1, `no JSON: ${(error as Error).message}`)
  }
  const data = Array.isArray(root) ? root : field(root, ['data', 'sessions', 'history'])
  const sessions = arrayAt(data, 'the history')
  let number = 0
  return build(
    sessions.map((session, s) =>
      arrayAt(session, `session ${s}`).map((transaction, t): Transaction => {
        const where = `session ${s}, transaction ${t}`
        const events = arrayAt(
          Array.isArray(transaction) ? transaction : field(transaction, ['events']),
          `${where}, events`,
        )
        const committed = Array.isArray(transaction)
          ? true
          : (field(transaction, ['committed', 'success']) ?? true)
        if (typeof committed !== 'boolean') fail(`${where}: committed must be true or false`)
        return {
          at: ++number,
          committed: committed as boolean,
          events: events.flatMap((event, e) => eventOf(event, `${where}, event ${e}`) ?? []),
        }
      }),
    ),
    'transaction',
  )
}

function eventOf(event: unknown, where: string): Event | undefined {
  if (Array.isArray(event)) {
    const [f, key, value] = event
    if ((f !== 'r' && f !== 'w') || event.length !== 3)
      fail(`${where}: expected ["r" or "w", variable, version]`)
    return made(f === 'w', key, value, where)
  }
  if (typeof event !== 'object' || event === null) fail(`${where}: expected an object or an array`)
  const map = event as Record<string, unknown>
  const body = map.Read ?? map.Write
  if (body !== undefined)
    return made(map.Write !== undefined, field(body, ['variable']), field(body, ['version']), where)
  if (typeof map.write !== 'boolean') fail(`${where}: expected "Read", "Write" or "write"`)
  if (map.success === false) return undefined
  return made(map.write as boolean, map.variable, map.value ?? map.version, where)
}

function made(write: boolean, key: unknown, value: unknown, where: string): Event {
  const isDatum = (x: unknown): boolean => typeof x === 'string' || typeof x === 'number'
  if (!isDatum(key)) fail(`${where}: the variable is missing`)
  if (!isDatum(value) && (write || (value !== null && value !== undefined)))
    fail(`${where}: the version is missing`)
  return { write, key: key as Datum, value: (value ?? null) as Datum | null }
}

function field(map: unknown, names: readonly string[]): unknown {
  if (typeof map !== 'object' || map === null) return undefined
  for (const name of names) if (name in map) return (map as Record<string, unknown>)[name]
  return undefined
}

function arrayAt(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) fail(`${where} must be an array`)
  return value as readonly unknown[]
}

function fail(problem: string): never {
  throw new MalformedHistoryError(1, problem)
}

function parseNotation(text: string): TransactionHistory {
  const sessions: Transaction[][] = [[]]
  let number = 0
  for (const raw of text.split('\n')) {
    number++
    const line = raw.trim()
    if (line === '' || line.startsWith('//') || line.startsWith('#')) continue
    if (/^-+$/.test(line)) {
      sessions.push([])
      continue
    }
    let rest = line
    while (rest !== '') {
      const match = /^\[([^\]]*)\](!?)\s*/.exec(rest)
      if (match === null)
        throw new MalformedHistoryError(
          number,
          `expected "[variable:=version variable==version]", got ${JSON.stringify(rest.slice(0, 40))}`,
        )
      rest = rest.slice(match[0].length)
      const events = (match[1] as string)
        .trim()
        .split(/[\s,]+/)
        .filter((e) => e !== '')
        .map((event): Event => {
          const parts = /^(\w+)(:=|==)(\d+|\?)$/.exec(event)
          if (parts === null || (parts[2] === ':=' && parts[3] === '?')) {
            throw new MalformedHistoryError(
              number,
              `expected "x:=1", "x==1" or "x==?", got ${JSON.stringify(event)}`,
            )
          }
          return {
            write: parts[2] === ':=',
            key: parts[1] as string,
            value: parts[3] === '?' ? null : Number(parts[3]),
          }
        })
      sessions.at(-1)?.push({ events, committed: match[2] !== '!', at: number })
    }
  }
  return build(sessions, 'the transaction at line')
}
