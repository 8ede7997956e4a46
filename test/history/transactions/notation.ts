import {
  type Definition,
  FAIL,
  INFO,
  OK,
  type TransactionHistory,
  TransactionHistoryBuilder,
} from '../../../src/history/transactions/history.ts'

/**
 * One transaction a line: `A: w x 1, r y nil`. The name before the colon is the session; `A!` rolled back, `A?` was
 * never answered, `A[2,5]` was sent at 2 and answered at 5. `w x 1@3` wrote version 3; `a x 1` appends, `l x [1 2]`
 * reads a list.
 */
export function history(
  lines: readonly string[],
  definition: Definition = 'adya',
  unordered = false,
): TransactionHistory {
  const builder = new TransactionHistoryBuilder()
  lines.forEach((line, at) => {
    const match = /^(\w+)([!?]?)(?:\[(-?\d+),(-?\d+)\])?:\s*(.*)$/.exec(line)
    if (match === null) throw new Error(`cannot read ${line}`)
    const [, session, mark, from, to, ops] = match as unknown as [
      string,
      string,
      string,
      string | undefined,
      string | undefined,
      string,
    ]
    builder.begin({
      session,
      status: mark === '!' ? FAIL : mark === '?' ? INFO : OK,
      ...(from === undefined ? {} : { invokedAt: Number(from), completedAt: Number(to) }),
      at: at + 1,
    })
    for (const op of ops.split(',').map((o) => o.trim())) {
      if (op === '') continue
      const [, f, key, rest] = /^(\w) (\w+) (.*)$/.exec(op) as unknown as [string, string, string, string]
      if (f === 'l') {
        builder.readList(
          key,
          rest
            .replace(/[[\]]/g, '')
            .split(' ')
            .filter((v) => v !== '')
            .map(Number),
        )
        continue
      }
      const [value, version] = rest.split('@') as [string, string | undefined]
      const v = version === undefined ? undefined : Number(version)
      if (f === 'r') builder.read(key, value === 'nil' ? null : value === '?' ? undefined : Number(value), v)
      else builder.write(key, Number(value), v)
    }
  })
  return builder.finish({ definition, unit: 'transaction', unordered })
}
