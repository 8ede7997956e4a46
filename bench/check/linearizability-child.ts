/** One measurement in a process of its own. Arguments: `etcd FOLDER`, or `one-key`, `unique` or `queue` with COUNT. Prints JSON. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  checkHistory,
  checkLinearizable,
  type HistoryEvent,
  type LinearizableModel,
  type Operation,
  pairOperations,
} from 'holdfast/history'

type Kind = 'one-key' | 'unique' | 'queue'

const [what, argument] = process.argv.slice(2) as ['etcd' | Kind, string]
const seconds = what === 'etcd' ? etcd(argument) : operations(Number(argument), what)
console.log(JSON.stringify({ seconds, mb: process.resourceUsage().maxRSS / 1024 }))

function etcd(folder: string): number {
  const { linearizable } = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as {
    linearizable: Record<string, boolean>
  }
  const logs = Object.entries(linearizable).filter(([name]) => name.startsWith('jepsen-etcd/'))
  const startMs = performance.now()
  for (const [name, expected] of logs) {
    const { verdict } = checkHistory({ bytes: readFileSync(join(folder, name)) }, { model: 'cas-register' })
    if ((verdict === 'valid') !== expected) throw new Error(`${name} is ${verdict}`)
  }
  return (performance.now() - startMs) / 1000
}

/** From operations to a verdict. */
function operations(count: number, kind: Kind): number {
  const object = kind === 'queue' ? queue() : register(kind === 'unique')
  const paired: Operation[] = pairOperations(record(count, object))
  const startMs = performance.now()
  const { verdict, reason } = checkLinearizable(paired, { model: object.model })
  const seconds = (performance.now() - startMs) / 1000
  if (verdict !== 'valid') throw new Error(`expected a valid history, got ${verdict}: ${reason}`)
  return seconds
}

interface Simulated {
  readonly model: LinearizableModel
  /** The next request; `begun` differs from one to the next. */
  draw(below: (n: number) => number, begun: number): { f: string; value: unknown }
  /** The answer, at the moment at which the operation takes effect. */
  apply(f: string, value: unknown): { value: unknown; result?: false }
}

/** Reads, and writes that are each of their own value; or reads, writes and compare-and-set of five values. */
function register(unique: boolean): Simulated {
  const names = unique ? ['read', 'write'] : ['read', 'write', 'cas']
  let state: unknown = null
  return {
    model: 'cas-register',
    draw(below, begun) {
      const f = names[below(names.length)] as string
      const value = f === 'read' ? null : f === 'cas' ? [below(5), below(5)] : unique ? begun : below(5)
      return { f, value }
    },
    apply(f, value) {
      if (f === 'read') return { value: state }
      if (f === 'write') state = value
      else if (state === (value as unknown[])[0]) state = (value as unknown[])[1]
      else return { value, result: false }
      return { value }
    },
  }
}

/** Each value is put in once; half of the operations take one out, or find the queue empty. */
function queue(): Simulated {
  const inside: unknown[] = []
  let first = 0
  return {
    model: 'queue',
    draw: (below, begun) => (below(2) === 0 ? { f: 'dequeue', value: null } : { f: 'enqueue', value: begun }),
    apply(f, value) {
      if (f === 'dequeue') return { value: first < inside.length ? inside[first++] : null }
      inside.push(value)
      return { value }
    },
  }
}

/** A run of ten clients on one object, in which each operation takes effect at some moment. The same for the same arguments. */
function record(count: number, object: Simulated): HistoryEvent[] {
  let random = 1
  const below = (n: number): number => {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((random / 2 ** 32) * n)
  }
  const events: HistoryEvent[] = []
  const under = new Map<number, { f: string; value: unknown; answer?: { value: unknown; result?: false } }>()
  for (let begun = 0; begun < count || under.size > 0; ) {
    const process = below(10)
    const operation = under.get(process)
    if (operation === undefined) {
      if (begun >= count) continue
      begun++
      const { f, value } = object.draw(below, begun)
      under.set(process, { f, value })
      events.push({ type: 'invoke', process, f, value })
    } else if (operation.answer === undefined) operation.answer = object.apply(operation.f, operation.value)
    else {
      under.delete(process)
      events.push({ type: 'ok', process, f: operation.f, ...operation.answer })
    }
  }
  return events
}
