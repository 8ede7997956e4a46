export const FORMATS = ['jsonl', 'edn', 'porcupine', 'text', 'cobra', 'dbcop'] as const
export type Format = (typeof FORMATS)[number]

/**
 * Guesses the format from the first bytes of a file; `undefined` when nothing fits. A folder is read as Cobra's.
 *
 * Porcupine's key-value logs are EDN in which each map has `:key` and `:f` is get, put or append.
 */
export function detectFormat(head: Uint8Array): Format | undefined {
  // Cobra: a letter, an 8-byte number, and the next record's letter.
  if (head[0] === 0x53 && 'SWRC'.includes(String.fromCharCode(head[9] ?? 0x53))) {
    if (head.length >= 9 && head.subarray(0, 9).includes(0)) return 'cobra'
  }
  if (head.length >= 8 && head[6] === 0 && head[7] === 0) return 'dbcop'
  if (head.includes(0)) return 'cobra'
  const text = new TextDecoder()
    .decode(head)
    .replace(/^\uFEFF/, '')
    .trimStart()
  const first = text.split('\n', 1)[0] as string
  if (/^INFO\s/.test(text)) return 'porcupine'
  if (/^\{\s*:process \S+, :type :\w+, :f :(get|put|append), :key /.test(first)) return 'porcupine'
  if (/^(;|#|\(|\{\s*:|\[\s*(#|;|\{\s*:)|\{\s*\})/.test(text)) return 'edn'
  if (/^\{/.test(text)) {
    // One object a line with a type is a history of operations; other JSON is a history of sessions.
    return /"type"\s*:\s*"(invoke|ok|fail|info)"/.test(first) || /"process"\s*:/.test(first)
      ? 'jsonl'
      : /^\{[^\n]*"(id|params|data|sessions|history)"/.test(text) || first.trim() === '{'
        ? 'dbcop'
        : 'jsonl'
  }
  // An array of events, however each is laid out; an array of anything else is a history of sessions.
  if (/^\[\s*\{/.test(text) && /"type"\s*:\s*"(invoke|ok|fail|info)"/.test(text)) return 'jsonl'
  // Of sessions too, and dbcop's notation of them: `[x:=1 y==2]`.
  if (/^\[\s*([[{\]]|[^\s[\]:=]+\s*(:=|==))/.test(text)) return 'dbcop'
  if (/^([rw]\s*\(|[rw]\s|-{3,}|={3,})/i.test(text)) return 'text'
  return undefined
}
