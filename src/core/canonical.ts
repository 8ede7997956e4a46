/**
 * A text that two values share exactly when they are equal: same type, same contents, the order of object keys, map
 * entries and set elements aside. Collision-free, so it can be the key of a cache. `undefined` and `null` are one.
 */
export function canonical(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'number':
      return Object.is(value, -0) ? '0' : String(value)
    case 'bigint':
      // A whole number is the same number whether a format has two ways to write it or one.
      return String(value)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'undefined':
      return 'null'
    case 'object':
      break
    default:
      throw new TypeError(`a ${typeof value} has no canonical text`)
  }
  if (value === null) return 'null'
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (value instanceof Set) return `#{${[...value].map(canonical).sort().join(',')}}`
  if (value instanceof Map) {
    return `<${[...value]
      .map(([k, v]) => `${canonical(k)}:${canonical(v)}`)
      .sort()
      .join(',')}>`
  }
  return `{${Object.entries(value)
    .map(([k, v]) => `${JSON.stringify(k)}:${canonical(v)}`)
    .sort()
    .join(',')}}`
}
