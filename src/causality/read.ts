import { PayloadError } from '../core/index.ts'

/** What a state from outside is not, with the place. */
export function malformed(subject: string, path: string, message: string): PayloadError {
  return new PayloadError(subject, [{ path, message }])
}

/** A list of `width`-tuples. @throws PayloadError */
export function readTuples(subject: string, json: unknown, width: number, path = '$'): unknown[][] {
  if (!Array.isArray(json)) throw malformed(subject, path, 'must be a list')
  for (const [i, tuple] of json.entries())
    if (!Array.isArray(tuple) || tuple.length !== width)
      throw malformed(subject, `${path}[${i}]`, `must be a list of ${width}`)
  return json
}

/** A list of pairs. @throws PayloadError */
export function readPairs(subject: string, json: unknown, path = '$'): [unknown, unknown][] {
  return readTuples(subject, json, 2, path) as [unknown, unknown][]
}

/** An object with exactly these members. @throws PayloadError */
export function readMembers<Name extends string>(
  subject: string,
  json: unknown,
  names: readonly Name[],
): Readonly<Record<Name, unknown>> {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw malformed(subject, '$', 'must be an object')
  const given = Object.keys(json)
  for (const name of names) if (!given.includes(name)) throw malformed(subject, `$.${name}`, 'is missing')
  for (const name of given)
    if (!names.includes(name as Name)) throw malformed(subject, `$.${name}`, 'is not part of it')
  return json as Record<Name, unknown>
}
