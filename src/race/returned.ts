/**
 * A returned value in a form that can be compared and printed, whatever it is: as JSON would carry it, and beyond that
 * bigints as text, numbers that are none by name, maps and sets by what they hold, errors by name and message, and a value
 * that contains itself cut there. What throws when it is looked at (a getter, a `toJSON`, a Proxy) is a word.
 */
export function plain(value: unknown, above: readonly unknown[] = []): unknown {
  switch (typeof value) {
    case 'bigint':
      return `${value}n`
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'function':
    case 'symbol':
      return undefined
    case 'object':
      break
    default:
      return value
  }
  if (value === null) return null
  if (above.includes(value)) return '[circular]'
  try {
    return plainObject(value, above)
  } catch {
    return '[unreadable]'
  }
}

function plainObject(value: object, above: readonly unknown[]): unknown {
  const inside = [...above, value]
  const { toJSON } = value as { toJSON?: unknown }
  if (typeof toJSON === 'function') return plain(toJSON.call(value), inside)
  if (value instanceof Error) return `${value.name}: ${value.message}`
  if (value instanceof Map) return plain([...value], inside)
  if (value instanceof Set) return plain([...value], inside)
  if (Array.isArray(value)) return value.map((item) => plain(item, inside) ?? null)
  const fields = Object.entries(value).map(([name, item]) => [name, plain(item, inside)] as const)
  return Object.fromEntries(fields.filter(([, item]) => item !== undefined))
}
