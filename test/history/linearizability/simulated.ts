import type { HistoryEvent } from '../../../src/history/operation.ts'

/** Draws an operation and answers it on the real object: what a correct server does. */
export interface Simulated {
  /** Gives the request, and what does it at the moment at which it takes effect. */
  next(random: () => number, fresh: () => number): { f: string; value: unknown; apply: () => unknown }
}

export const objects: Record<string, () => Simulated> = {
  register() {
    let held: number | null = null
    return {
      next: (random, fresh) => {
        if (random() < 0.5) return { f: 'read', value: null, apply: () => held }
        const value = fresh()
        const write = (): void => {
          held = value
        }
        return { f: 'write', value, apply: write }
      },
    }
  },
  queue() {
    const inside: number[] = []
    return {
      next: (random, fresh) => {
        if (random() < 0.45) return { f: 'dequeue', value: null, apply: () => inside.shift() ?? null }
        const value = fresh()
        return { f: 'enqueue', value, apply: () => void inside.push(value) }
      },
    }
  },
  set() {
    const inside: number[] = []
    return {
      next: (random, fresh) => {
        if (random() < 0.4) return { f: 'read', value: null, apply: () => [...inside] }
        const value = fresh()
        return { f: 'add', value, apply: () => void inside.push(value) }
      },
    }
  },
}

export interface SimulatedRun {
  readonly processes: number
  readonly operations: number
  /** Share of operations whose answer is lost, half of which did nothing. */
  readonly lost: number
}

/** A history of clients of a correct object: each operation takes effect between its invocation and its answer. */
export function simulate(model: string, random: () => number, run: SimulatedRun): HistoryEvent[] {
  const object = (objects[model] as () => Simulated)()
  const events: HistoryEvent[] = []
  let [values, names, begun] = [0, run.processes, 0]
  interface Slot {
    name: number
    request?: { f: string; value: unknown; apply: () => unknown }
    done?: { answer: unknown }
  }
  const slots: Slot[] = Array.from({ length: run.processes }, (_, name) => ({ name }))
  while (begun < run.operations || slots.some((slot) => slot.request !== undefined)) {
    const slot = slots[Math.floor(random() * slots.length)] as Slot
    const { request } = slot
    if (request === undefined) {
      if (begun++ >= run.operations) continue
      const made = object.next(random, () => ++values)
      slot.request = made
      events.push({ process: slot.name, type: 'invoke', f: made.f, value: made.value })
    } else if (slot.done === undefined) {
      if (random() >= run.lost) slot.done = { answer: request.apply() }
      else {
        if (random() < 0.5) request.apply()
        events.push({ process: slot.name, type: 'info', f: request.f })
        delete slot.request
        slot.name = names++
      }
    } else {
      const { answer } = slot.done
      events.push({
        process: slot.name,
        type: 'ok',
        f: request.f,
        ...(answer === undefined ? {} : { value: answer }),
      })
      delete slot.request
      delete slot.done
    }
  }
  return events
}

/** One change to a history: an answer of another read, an answer that comes earlier or later, an answer that is lost. */
export function mutate(events: readonly HistoryEvent[], random: () => number): HistoryEvent[] {
  const pick = (from: readonly number[]): number => from[Math.floor(random() * from.length)] as number
  const changed = [...events]
  const reads = changed.flatMap((e, at) => (e.type === 'ok' && e.value !== undefined ? at : []))
  const oks = changed.flatMap((e, at) => (e.type === 'ok' ? at : []))
  const how = random()
  if (how < 0.5 && reads.length > 1) {
    const [to, from] = [pick(reads), pick(reads)]
    changed[to] = { ...(changed[to] as HistoryEvent), value: (changed[from] as HistoryEvent).value }
  } else if (how < 0.9 && oks.length > 0) {
    // Earlier, but not before it was sent.
    const at = pick(oks)
    const [event] = changed.splice(at, 1) as [HistoryEvent]
    const sent = changed.findLastIndex((e, i) => i < at && e.type === 'invoke' && e.process === event.process)
    changed.splice(sent + 1 + Math.floor(random() * (at - sent)), 0, event)
  } else if (oks.length > 0) {
    const at = pick(oks)
    const { process, f } = changed[at] as HistoryEvent
    if (!changed.some((e, i) => i > at && e.process === process)) changed[at] = { process, f, type: 'info' }
  }
  return changed
}
