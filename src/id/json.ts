/**
 * A replacer for `JSON.stringify` that writes bigints as strings of digits. A JSON number above 2^53 is rounded by most
 * readers, JavaScript's own among them, without a word; read them back with `decimal.decode`.
 */
export function bigintsAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
