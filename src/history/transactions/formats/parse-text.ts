import { checkArguments, isText } from '../../../core/options.ts'
import { FAIL, OK, type TransactionHistory, TransactionHistoryBuilder } from '../history.ts'
import { MalformedHistoryError } from '../malformed.ts'

/**
 * Text histories of sessions, in either of two notations.
 *
 * AWDIT's own: `r key value` or `w key value` a line, `---` (any number of dashes) ends a transaction, `===` a session.
 *
 * Plume's, also used by PolySI and IsoVista: `r(key,value,session,transaction)`. Transaction -1 is one that rolled
 * back. A value 0 (or `null`) that nobody wrote to the key is its initial state.
 *
 * Empty lines and lines that begin with `#` or `//` are skipped.
 * @throws MalformedHistoryError with the line and what is wrong with it.
 */
export function parseText(text: string): TransactionHistory {
  checkArguments('parseText', isText('text', text))
  for (const line of text.split('\n', 1000)) {
    const trimmed = line.trim()
    if (/^[rw]\s*\(/i.test(trimmed)) return parsePlume(text)
    if (/^([rw]\s|-|=)/i.test(trimmed)) break
  }
  return parseBlocks(text)
}

function parseBlocks(text: string): TransactionHistory {
  const builder = new TransactionHistoryBuilder()
  let session = 0
  let number = 0
  let open = false
  let operations = 0
  for (const raw of text.split('\n')) {
    number++
    const line = raw.trim()
    if (line === '' || line.startsWith('#') || line.startsWith('//')) continue
    if (/^-+$/.test(line)) {
      open = false
      continue
    }
    if (/^=+$/.test(line)) {
      open = false
      session++
      continue
    }
    const parts = line.split(/\s+/)
    const [op, key, value] = parts
    if ((op !== 'r' && op !== 'w') || key === undefined || value === undefined || parts.length !== 3) {
      throw new MalformedHistoryError(
        number,
        `expected "r KEY VALUE", "w KEY VALUE", "---" or "===", got ${JSON.stringify(cut(line))}`,
      )
    }
    if (!open) {
      builder.begin({ session, status: OK, at: number })
      open = true
    }
    if (op === 'w') builder.write(datum(key), datum(value))
    else builder.read(datum(key), isNil(value) ? null : datum(value))
    operations++
  }
  if (operations === 0) throw new MalformedHistoryError(number, 'the history holds no operation')
  return builder.finish({ definition: 'axiomatic', unit: 'the transaction at line' })
}

function parsePlume(text: string): TransactionHistory {
  interface Transaction {
    readonly session: string
    readonly line: number
    readonly ops: { write: boolean; key: string; value: string }[]
  }
  const sessions = new Map<string, Transaction[]>()
  const transactions = new Map<string, Transaction>()
  const rolledBack: { key: string; value: string; line: number }[] = []
  const written = new Set<string>()
  let number = 0
  for (const raw of text.split('\n')) {
    number++
    const line = raw.trim()
    if (line === '' || line.startsWith('#') || line.startsWith('//')) continue
    const match = /^([rwRW])\s*\(\s*([^,()]+?)\s*,\s*([^,()]+?)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*\)\s*;?$/.exec(
      line,
    )
    if (match === null) {
      throw new MalformedHistoryError(
        number,
        `expected "r(KEY,VALUE,SESSION,TRANSACTION)", got ${JSON.stringify(cut(line))}`,
      )
    }
    const [, op, key, value, session, id] = match as unknown as [
      string,
      string,
      string,
      string,
      string,
      string,
    ]
    const write = op === 'w' || op === 'W'
    if (write) written.add(`${key} ${value}`)
    if (id === '-1') {
      if (write) rolledBack.push({ key, value, line: number })
      continue
    }
    let transaction = transactions.get(`${session} ${id}`)
    if (transaction === undefined) {
      transaction = { session, line: number, ops: [] }
      transactions.set(`${session} ${id}`, transaction)
      const list = sessions.get(session)
      if (list === undefined) sessions.set(session, [transaction])
      else list.push(transaction)
    }
    transaction.ops.push({ write, key, value })
  }
  if (transactions.size === 0)
    throw new MalformedHistoryError(number, 'the history holds no committed operation')
  const builder = new TransactionHistoryBuilder()
  for (const list of sessions.values()) {
    for (const { session, line, ops } of list) {
      builder.begin({ session: Number(session), status: OK, at: line })
      for (const { write, key, value } of ops) {
        if (write) builder.write(datum(key), datum(value))
        else
          builder.read(
            datum(key),
            isNil(value) || (value === '0' && !written.has(`${key} 0`)) ? null : datum(value),
          )
      }
    }
  }
  for (const { key, value, line } of rolledBack) {
    builder.begin({ session: -1, status: FAIL, at: line })
    builder.write(datum(key), datum(value))
  }
  return builder.finish({ definition: 'axiomatic', unit: 'the transaction at line' })
}

function isNil(value: string): boolean {
  return value === 'nil' || value === 'null'
}

function datum(text: string): string | number | bigint {
  if (!/^-?\d+$/.test(text)) return text
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : BigInt(text)
}

function cut(line: string): string {
  return line.length > 60 ? `${line.slice(0, 60)}…` : line
}
