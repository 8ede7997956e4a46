import * as Automerge from '@automerge/automerge'
import {
  growCounter,
  hybridClock,
  lastWriterWins,
  type Mergeable,
  multiValue,
  observedRemoveMap,
} from 'holdfast/causality'
import * as Y from 'yjs'
import { type Sample, toRows } from '../lib/report.ts'
import type { Bench } from '../main.ts'

const REPLICAS = [2, 4, 8, 16, 32, 64]
const KEYS = 10

/**
 * Records that all replicas have written, as they grow from 2 replicas to 64: bytes of one stored record, and merges per
 * second from the stored bytes of two diverged copies to the stored bytes of their merge, which is what a store that
 * receives a copy does. Each replica has counted once, or written every key of a map of ten once.
 */
export const bench: Bench = {
  withoutServer: true,
  async run({ rounds, scale, only, progress }) {
    const samples: Sample[] = []
    for (let round = 1; round <= rounds; round++) {
      for (const replicas of REPLICAS) {
        for (const [system, subject, make] of WAYS) {
          const name = `${subject}, ${replicas} replicas`
          if (only !== undefined && !name.includes(only) && !system.includes(only)) continue
          const { bytes, merge } = make(replicas)
          const value = perSecond(merge, 300 * scale)
          samples.push({ system, metric: `${name}: merges`, unit: '1/s', value })
          samples.push({ system, metric: `${name}: record`, unit: 'bytes', value: bytes })
          progress(`round ${round}: ${name}: ${system}: ${Math.round(value)}/s, ${bytes} bytes`)
        }
      }
    }
    return { bench: 'causality', rows: toRows(samples), targets: [] }
  },
}

interface Record {
  /** Of the record that holds what all replicas wrote. */
  readonly bytes: number
  /** Stored bytes of two copies in, stored bytes of the merge out. */
  readonly merge: () => unknown
}

type Way = readonly [system: string, subject: string, make: (replicas: number) => Record]

const names = (replicas: number) => Array.from({ length: replicas }, (_, i) => `replica-${i}`)
const register = lastWriterWins<string>()
const registers = observedRemoveMap(register)
const siblings = multiValue<string>()

const WAYS: readonly Way[] = [
  ['holdfast', 'counter', (n) => ours(growCounter, n, (s, replica) => growCounter.increment(s, replica))],
  ['yjs', 'counter', (n) => yjs(n, (doc, i) => doc.getMap('count').set(`replica-${i}`, 1))],
  ['automerge', 'counter', automergeCounter],
  [
    'holdfast',
    'map of ten registers',
    (n) =>
      ours(registers, n, (state, replica) => {
        const clock = hybridClock({ replica })
        let next = state
        for (let key = 0; key < KEYS; key++)
          next = registers.update(next, replica, `key ${key}`, (value) =>
            register.write(value, clock.tick(), `value of ${replica}`),
          )
        return next
      }),
  ],
  [
    'yjs',
    'map of ten registers',
    (n) =>
      yjs(n, (doc, i) => {
        for (let key = 0; key < KEYS; key++) doc.getMap('map').set(`key ${key}`, `value of replica-${i}`)
      }),
  ],
  ['automerge', 'map of ten registers', automergeMap],
  [
    'holdfast',
    'multi-value register, one sibling',
    (n) => ours(siblings, n, (state, replica) => siblings.write(state, replica, `value of ${replica}`)),
  ],
]

/** The replicas write one after another, each on top of what it read; then two of them write apart. */
function ours<S>(kind: Mergeable<S>, replicas: number, write: (state: S, replica: string) => S): Record {
  const all = names(replicas)
  const base = all.slice(2).reduce(write, kind.empty)
  const texts = all.slice(0, 2).map((replica) => JSON.stringify(kind.encode(write(base, replica))))
  const [a, b] = texts as [string, string]
  const merge = () =>
    JSON.stringify(kind.encode(kind.merge(kind.decode(JSON.parse(a)), kind.decode(JSON.parse(b)))))
  return { bytes: Buffer.byteLength(merge()), merge }
}

function yjs(replicas: number, write: (doc: Y.Doc, i: number) => void): Record {
  const at = (i: number, from: Uint8Array): Uint8Array => {
    const doc = new Y.Doc()
    doc.clientID = i + 1
    Y.applyUpdate(doc, from)
    write(doc, i)
    return Y.encodeStateAsUpdate(doc)
  }
  let base = Y.encodeStateAsUpdate(new Y.Doc())
  for (let i = 2; i < replicas; i++) base = at(i, base)
  const [a, b] = [at(0, base), at(1, base)]
  // through a document, as a service does that also reads the value; mergeUpdates alone keeps what was overwritten
  const merge = () => {
    const doc = new Y.Doc()
    Y.applyUpdate(doc, a)
    Y.applyUpdate(doc, b)
    return Y.encodeStateAsUpdate(doc)
  }
  return { bytes: merge().length, merge }
}

function automergeCounter(replicas: number): Record {
  return automerge<{ count: Automerge.Counter }>(replicas, { count: new Automerge.Counter(0) }, (doc) =>
    doc.count.increment(1),
  )
}

function automergeMap(replicas: number): Record {
  return automerge<{ map: globalThis.Record<string, string> }>(replicas, { map: {} }, (doc, i) => {
    for (let key = 0; key < KEYS; key++) doc.map[`key ${key}`] = `value of replica-${i}`
  })
}

function automerge<T>(replicas: number, start: T, write: (doc: T, i: number) => void): Record {
  const actor = (i: number) => i.toString(16).padStart(32, '0')
  let base = Automerge.save(
    Automerge.from(start as globalThis.Record<string, unknown>, { actor: actor(255) }) as Automerge.Doc<T>,
  )
  const at = (i: number, from: Uint8Array): Uint8Array => {
    const doc = Automerge.load<T>(from, { actor: actor(i) })
    return Automerge.save(Automerge.change(doc, (draft) => write(draft as T, i)))
  }
  for (let i = 2; i < replicas; i++) base = at(i, base)
  const [a, b] = [at(0, base), at(1, base)]
  const merge = () => {
    const [left, right] = [Automerge.load<T>(a), Automerge.load<T>(b)]
    const merged = Automerge.merge(left, right)
    const bytes = Automerge.save(merged)
    Automerge.free(right)
    Automerge.free(merged)
    return bytes
  }
  return { bytes: merge().length, merge }
}

function perSecond(work: () => unknown, durationMs: number): number {
  const warmUntil = performance.now() + durationMs / 3
  while (performance.now() < warmUntil) work()
  const began = performance.now()
  let done = 0
  while (performance.now() - began < durationMs) {
    work()
    done++
  }
  return (done / (performance.now() - began)) * 1000
}
