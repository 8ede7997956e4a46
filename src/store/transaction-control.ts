import { UnsupportedError } from '../core/errors.ts'
import type { DialectName } from './dialect.ts'
import { ownWords } from './own-words.ts'

/** `rollback to` and savepoints stay within the transaction; `commit prepared` ends another one. */
const CONTROL =
  /^\s*(begin|start\s+transaction|prepare\s+transaction|(?:commit|end|abort|rollback)(?!(?:\s+(?:work|transaction))?\s+to\b|\s+prepared\b))\b/i

/** What begins otherwise than with a word: a comment or an empty statement, which the databases skip. */
const SKIPPED = /^\s*(?:--|\/\*|;)/

/** Its body is statements too, with a semicolon after each and END after the last. */
const WITH_BODY = /^\s*create\b.*\b(?:trigger|function|procedure)\b/is

/**
 * Refuses a statement that would begin or end a transaction behind the back of the one it runs in: after a ROLLBACK the
 * database takes every COMMIT, and the transaction would be reported as applied. Comments do not hide it, nor does another
 * statement before it.
 *
 * Refuses several statements in one text for SQLite, whose drivers run the first and say nothing of the rest. PostgreSQL
 * runs them all.
 * @throws UnsupportedError
 */
export function refuseTransactionControl(text: string, dialect: DialectName): void {
  const passed = dialect === 'sqlite' ? passedOnSqlite : passedElsewhere
  if (passed.has(text)) return
  look(text, dialect)
  if (passed.size < PASSED_MAX && text.length <= PASSED_LENGTH_MAX) passed.add(text)
}

/** A program has few texts, and sends them again and again. Those past the bounds are looked at each time. */
const passedOnSqlite = new Set<string>()
const passedElsewhere = new Set<string>()
const PASSED_MAX = 1_000
const PASSED_LENGTH_MAX = 10_000

function look(text: string, dialect: DialectName): void {
  if (!SKIPPED.test(text) && !hasMore(text)) {
    refuseControl(text)
    return
  }
  const parts = ownWords(text, dialect).split(';')
  const [first = '', ...more] = parts.filter((part) => part.trim() !== '')
  refuseControl(first)
  const hasBody = WITH_BODY.test(first)
  if (!hasBody) for (const statement of more) refuseControl(statement)
  if (dialect !== 'sqlite') return
  const isOne = hasBody ? /^\s*end\s*$/i.test(more.at(-1) ?? 'end') : more.length === 0
  if (!isOne || parts[0] !== first) throw onlyTheFirst()
}

/** Whether anything stands behind a semicolon. */
function hasMore(text: string): boolean {
  const at = text.indexOf(';')
  return at >= 0 && text.slice(at + 1).trim() !== ''
}

function refuseControl(statement: string): void {
  const [, words] = CONTROL.exec(statement) ?? []
  if (words === undefined) return
  throw new UnsupportedError(
    `${words.toUpperCase().replaceAll(/\s+/g, ' ')} is not for statements of your own: store.transaction begins and commits, a throw in its function rolls back, and tx.transaction is a savepoint`,
  )
}

function onlyTheFirst(): UnsupportedError {
  return new UnsupportedError(
    'the text holds several statements, and SQLite would run only the first: send each by itself',
  )
}
