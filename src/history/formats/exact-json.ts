const MARK = '\u0001big:'

/**
 * Reads JSON without making two numbers one: whole numbers that a double does not hold become bigints (JSON.parse reads
 * 9007199254740993 as ...992), and what is too large for a double is refused.
 * @throws SyntaxError
 */
export function parseExact(text: string): unknown {
  if (!/\d{16}|[eE]\+?\d{3}/.test(text)) return JSON.parse(text)
  // Outside texts only: a text is matched whole and stays.
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g, (token) =>
    token[0] === '"' || Number.isSafeInteger(Number(token)) ? token : `"\\u0001big:${token}"`,
  )
  return JSON.parse(marked, (_, value) => {
    if (typeof value === 'number' && !Number.isFinite(value)) throw new SyntaxError('a number is too large')
    if (typeof value !== 'string' || !value.startsWith(MARK)) return value
    const digits = value.slice(MARK.length)
    return /^-?\d+$/.test(digits) ? BigInt(digits) : value
  })
}
