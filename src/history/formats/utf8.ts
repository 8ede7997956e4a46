import { MalformedHistoryError } from '../transactions/malformed.ts'

const NEWLINE = 10
const decoder = new TextDecoder('utf-8', { fatal: true })

/**
 * The text of bytes in UTF-8. What is none is refused: replaced by one character, two keys could become one.
 * @throws MalformedHistoryError with the line, counted from `line`, the one on which the bytes begin
 */
export function decodeUtf8(bytes: Uint8Array, line = 1): string {
  try {
    return decoder.decode(bytes)
  } catch {
    throw new MalformedHistoryError(line + linesBeforeFault(bytes), 'this is no text in UTF-8')
  }
}

/** No character of UTF-8 has a newline in it, so each line can be looked at by itself. */
function linesBeforeFault(bytes: Uint8Array): number {
  for (let [from, lines] = [0, 0]; ; lines++) {
    const end = bytes.indexOf(NEWLINE, from)
    try {
      decoder.decode(bytes.subarray(from, end < 0 ? bytes.length : end))
    } catch {
      return lines
    }
    if (end < 0) return lines
    from = end + 1
  }
}
