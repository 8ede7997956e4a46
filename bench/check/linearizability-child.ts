/** One measurement in a process of its own. Arguments: `etcd FOLDER`, or `one-key COUNT`, or `unique COUNT`. Prints JSON. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  checkHistory,
  checkLinearizable,
  type HistoryEvent,
  type Operation,
  pairOperations,
} from 'holdfast/history'

const [what, argument] = process.argv.slice(2) as [string, string]
const seconds = what === 'etcd' ? etcd(argument) : operations(Number(argument), what === 'unique')
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
function operations(count: number, unique: boolean): number {
  const paired: Operation[] = pairOperations(record(count, unique))
  const startMs = performance.now()
  const { verdict, reason } = checkLinearizable(paired, { model: 'cas-register' })
  const seconds = (performance.now() - startMs) / 1000
  if (verdict !== 'valid') throw new Error(`expected a valid history, got ${verdict}: ${reason}`)
  return seconds
}

/** A run of ten clients on one register, in which each operation takes effect at some moment. The same for the same arguments. */
function record(count: number, unique: boolean): HistoryEvent[] {
  let random = 1
  const below = (n: number): number => {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((random / 2 ** 32) * n)
  }
  const events: HistoryEvent[] = []
  const under = new Map<number, { f: string; value: unknown; answer: unknown; done: boolean; no: boolean }>()
  const names = unique ? ['read', 'write'] : ['read', 'write', 'cas']
  let state: unknown = null
  for (let begun = 0; begun < count || under.size > 0; ) {
    const process = below(10)
    const operation = under.get(process)
    if (operation === undefined) {
      if (begun >= count) continue
      begun++
      const f = names[below(names.length)] as string
      const value = f === 'read' ? null : f === 'cas' ? [below(5), below(5)] : unique ? begun : below(5)
      under.set(process, { f, value, answer: value, done: false, no: false })
      events.push({ type: 'invoke', process, f, value })
    } else if (!operation.done) {
      operation.done = true
      const { f, value } = operation
      if (f === 'read') operation.answer = state
      else if (f === 'write') state = value
      else if (state === (value as unknown[])[0]) state = (value as unknown[])[1]
      else operation.no = true
    } else {
      under.delete(process)
      const { f, answer, no } = operation
      events.push({ type: 'ok', process, f, value: answer, ...(no ? { result: false } : {}) })
    }
  }
  return events
}
