import { PayloadError } from './errors.ts'

/**
 * Encodes a payload as JSON text, refusing what JSON would change silently.
 *
 * Accepted: null, booleans, finite numbers, well-formed strings without NUL, arrays, plain objects, and objects with
 * `toJSON` (a Date becomes its ISO text). Object members that are `undefined` are left out, as JSON does.
 * Refused, with the path: bigint, NaN, Infinity, functions, symbols, `undefined` at the top or in an array, Map, Set
 * and other class instances, cycles, NUL and unpaired surrogates in text, more than `limitBytes` of UTF-8.
 *
 * @throws PayloadError, outcome `not-applied`
 */
export function encodeJson(subject: string, value: unknown, limitBytes: number): string {
  const open = new Set<object>()
  const plain = check(value, '$')
  const text = JSON.stringify(plain)
  const bytes = Buffer.byteLength(text)
  if (bytes > limitBytes) refuse('$', `${bytes} bytes as JSON, the limit is ${limitBytes}`)
  return text

  function refuse(path: string, message: string): never {
    throw new PayloadError(subject, [{ path, message }])
  }

  function check(v: unknown, path: string): unknown {
    switch (typeof v) {
      case 'string':
        if (v.includes('\0')) refuse(path, 'text contains a NUL character')
        if (!v.isWellFormed()) refuse(path, 'text contains an unpaired surrogate')
        return v
      case 'number':
        if (!Number.isFinite(v)) refuse(path, `${v} has no JSON form`)
        return v
      case 'boolean':
        return v
      case 'object':
        return v === null ? null : checkObject(v, path)
      case 'bigint':
        return refuse(path, 'a bigint has no JSON form; send it as a string')
      default:
        return refuse(path, `${typeof v} has no JSON form`)
    }
  }

  function checkObject(v: object, path: string): unknown {
    if (open.has(v)) refuse(path, 'the value contains itself')
    open.add(v)
    try {
      if (typeof (v as { toJSON?: unknown }).toJSON === 'function') {
        return check((v as { toJSON: () => unknown }).toJSON(), path)
      }
      if (Array.isArray(v)) {
        for (let i = 0; i < v.length; i++) {
          if (v[i] === undefined) refuse(`${path}[${i}]`, 'undefined has no JSON form')
          check(v[i], `${path}[${i}]`)
        }
        return v
      }
      const prototype = Object.getPrototypeOf(v)
      if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
        refuse(path, `an instance of ${prototype.constructor?.name ?? 'a class'} has no JSON form`)
      }
      for (const [name, member] of Object.entries(v)) {
        const memberPath = /^[A-Za-z_$][\w$]*$/.test(name)
          ? `${path}.${name}`
          : `${path}[${JSON.stringify(name)}]`
        check(name, memberPath)
        if (member !== undefined) check(member, memberPath)
      }
      return v
    } catch (error) {
      if (error instanceof RangeError) refuse('$', 'the value is nested too deeply')
      throw error
    } finally {
      open.delete(v)
    }
  }
}

/**
 * The one text of a JSON value: members in the order of their names, no spaces. Two values are the same exactly when
 * their texts are. The value must be JSON already: what `JSON.parse` gives, or what `encodeJson` accepted.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const members = Object.entries(value).filter(([, member]) => member !== undefined)
  members.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(',')}}`
}
