/** The fields of an error or a notice that libpq prints, as `pg` names them. */
export interface ServerMessage {
  readonly severity?: string | undefined
  readonly message?: string | undefined
  readonly detail?: string | undefined
  readonly hint?: string | undefined
  readonly where?: string | undefined
  /** In characters, from 1. */
  readonly position?: string | undefined
}

/** The severity and the primary text; details may hold ids of transactions, so the tester leaves them out. */
export function primaryOf({ severity, message }: ServerMessage): string {
  return `${severity}:  ${message}\n`
}

/**
 * The whole message as libpq's default verbosity has it, ending with a line end. The context is shown for errors only.
 * @see PostgreSQL, src/interfaces/libpq/fe-protocol3.c, pqBuildErrorMessage3
 */
export function wholeMessage(from: ServerMessage, kind: 'error' | 'notice', sql: string): string {
  const { detail, hint, where, position } = from
  return [
    primaryOf(from),
    position === undefined ? '' : lineAt(sql, Number(position)),
    detail === undefined ? '' : `DETAIL:  ${detail}\n`,
    hint === undefined ? '' : `HINT:  ${hint}\n`,
    where === undefined || kind === 'notice' ? '' : `CONTEXT:  ${where}\n`,
  ].join('')
}

/** How many characters of a long line are shown, and how many of them at least to the right of the place. */
const SHOWN = 60
const SHOWN_RIGHT = 10

/** The line of the statement that a message points into, and a caret below the place. */
function lineAt(sql: string, position: number): string {
  const characters = [...sql]
  const at = position - 1
  if (!(at >= 0 && at <= characters.length)) return ''
  const before = characters.slice(0, at).join('').split(/\r?\n/)
  const column = [...(before.at(-1) as string)].length
  const rest = characters.slice(at).join('').split(/\r?\n/)[0] as string
  const line = [...`${before.at(-1)}${rest}`.replaceAll('\t', ' ')]
  const { from, to } = cut(line.length, column)
  const start = `LINE ${before.length}: ${from > 0 ? '...' : ''}`
  const text = `${start}${line.slice(from, to).join('')}${to < line.length ? '...' : ''}`
  return `${text}\n${' '.repeat(start.length + column - from)}^\n`
}

/** Cuts a long line on the right where the place stays well inside, else around it. */
function cut(length: number, column: number): { from: number; to: number } {
  if (length <= SHOWN) return { from: 0, to: length }
  if (SHOWN >= column + SHOWN_RIGHT) return { from: 0, to: SHOWN }
  const to = Math.min(length, column + SHOWN_RIGHT)
  return { from: Math.max(0, to - SHOWN), to }
}
