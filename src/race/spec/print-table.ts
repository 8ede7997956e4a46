/** The rows that one statement gave, as text. */
export interface Table {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | null)[])[]
}

/**
 * A table as libpq's `PQprint` writes it with a header, aligned, columns parted by `|`: numbers to the right, widths in
 * bytes, NULL as nothing. Empty for a statement without columns. Pure.
 * @see PostgreSQL, src/interfaces/libpq/fe-print.c
 */
export function printTable({ columns, rows }: Table): string {
  if (columns.length === 0) return ''
  const shapes = columns.map((name, at) => shapeOf(name, rows, at))
  const line = (cells: readonly (string | null)[]) =>
    cells.map((cell, at) => pad(cell ?? '', shapes[at] as Shape)).join('|')
  const lines = [
    line(columns),
    shapes.map(({ width }) => '-'.repeat(width)).join('+'),
    ...rows.map(line),
    `(${rows.length} row${rows.length === 1 ? '' : 's'})`,
  ]
  return `${lines.join('\n')}\n\n`
}

interface Shape {
  readonly width: number
  readonly numeric: boolean
}

/** Without any value a column counts as numeric, so its name stands to the right; that shows only where NULLs are wider. */
function shapeOf(name: string, rows: Table['rows'], at: number): Shape {
  let width = Buffer.byteLength(name)
  let numeric = true
  for (const row of rows) {
    const cell = row[at] ?? ''
    width = Math.max(width, Buffer.byteLength(cell))
    numeric &&= cell === '' || looksNumeric(cell)
  }
  return { width, numeric }
}

/** By libpq's test: only these characters, none of the two E in front, and a digit at the end. */
function looksNumeric(cell: string): boolean {
  return /^[0-9.Ee -]*[0-9]$/.test(cell) && !/^[Ee]/.test(cell)
}

function pad(cell: string, { width, numeric }: Shape): string {
  const blanks = ' '.repeat(width - Buffer.byteLength(cell))
  return numeric ? blanks + cell : cell + blanks
}
