import { isName } from '../core/index.ts'
import { malformed, readTuples } from './read.ts'
import { type Dot, includesDot, type VersionVector } from './version-vector.ts'

/** A value and the event that wrote it. */
export interface Dotted<V> extends Dot {
  readonly value: V
}

/** What is alive: in the order of replica and count, no dot twice. */
export type LiveDots<V> = readonly Dotted<V>[]

/**
 * The one rule by which dotted states merge: a dot lives if both sides hold it, or if the side without it has not seen
 * it. A side that has seen a dot and does not hold it has replaced or removed its value.
 *
 * Bounds: one pass over both lists. Commutative, associative and idempotent for states that come from one another.
 * @see Almeida, Shoker, Baquero 2018, Delta State Replicated Data Types, section 7 (causal delta states)
 */
export function mergeDots<V>(
  a: LiveDots<V>,
  aSeen: VersionVector,
  b: LiveDots<V>,
  bSeen: VersionVector,
): LiveDots<V> {
  const alive: Dotted<V>[] = []
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    const [x, y] = [a[i], b[j]]
    const side = x === undefined ? 1 : y === undefined ? -1 : compareDots(x, y)
    if (side === 0) alive.push(x as Dotted<V>)
    else if (side < 0 && !includesDot(bSeen, x as Dot)) alive.push(x as Dotted<V>)
    else if (side > 0 && !includesDot(aSeen, y as Dot)) alive.push(y as Dotted<V>)
    if (side <= 0) i++
    if (side >= 0) j++
  }
  return alive
}

/** The dots that are not in `seen`: what a write or a removal by someone who had seen that much leaves. */
export function withoutDots<V>(alive: LiveDots<V>, seen: VersionVector): LiveDots<V> {
  return alive.filter((dot) => !includesDot(seen, dot))
}

export function withDotAlive<V>(alive: LiveDots<V>, dot: Dotted<V>): LiveDots<V> {
  return [...alive, dot].sort(compareDots)
}

export function encodeDots<V>(alive: LiveDots<V>, encode: (value: V) => unknown): unknown[] {
  return alive.map(({ replica, count, value }) => [replica, count, encode(value)])
}

/** @throws PayloadError unless each dot is in `seen`, in order and once */
export function decodeDots<V>(
  subject: string,
  json: unknown,
  seen: VersionVector,
  decode: (json: unknown) => V,
  path: string,
): LiveDots<V> {
  const dots: Dotted<V>[] = []
  for (const [i, [replica, count, value]] of readTuples(subject, json, 3, path).entries()) {
    const named = isName('replica', replica)
    if (named !== true) throw malformed(subject, `${path}[${i}][0]`, named)
    if (!Number.isSafeInteger(count) || (count as number) < 1)
      throw malformed(subject, `${path}[${i}][1]`, 'a count is a whole number from 1 to 2^53 - 1')
    const dot = { replica: replica as string, count: count as number, value: decode(value) }
    if (!includesDot(seen, dot))
      throw malformed(subject, `${path}[${i}]`, 'the context has not seen this dot')
    const last = dots.at(-1)
    if (last !== undefined && compareDots(last, dot) >= 0)
      throw malformed(subject, `${path}[${i}]`, 'dots must be in order, each once')
    dots.push(dot)
  }
  return dots
}

function compareDots(a: Dot, b: Dot): number {
  if (a.replica !== b.replica) return a.replica < b.replica ? -1 : 1
  return a.count - b.count
}
