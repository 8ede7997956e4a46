export type StatementKind =
  | 'begin'
  | 'commit'
  | 'rollback'
  | 'prepare'
  | 'savepoint'
  | 'rollback-to'
  | 'statement'

/** What a statement does to the transaction, by its first words; comments before them are skipped. */
export function kindOf(text: string): StatementKind {
  const start = /^(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/)*/.exec(text)?.[0].length ?? 0
  const words = text
    .slice(start, start + 60)
    .toLowerCase()
    .split(/[\s;]+/, 3)
  // COMMIT PREPARED and ROLLBACK PREPARED end a transaction that no connection has open.
  if (words[1] === 'prepared') return 'statement'
  switch (words[0]) {
    case 'begin':
    case 'start':
      return 'begin'
    case 'commit':
    case 'end':
      return 'commit'
    case 'prepare':
      return words[1] === 'transaction' ? 'prepare' : 'statement'
    case 'abort':
      return 'rollback'
    case 'rollback':
      return words.slice(1).includes('to') ? 'rollback-to' : 'rollback'
    case 'savepoint':
      return 'savepoint'
    default:
      return 'statement'
  }
}
