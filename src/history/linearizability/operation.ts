import { canonical } from '../../core/canonical.ts'
import { checkArguments, checkOptions, isBoolean, isObject } from '../../core/options.ts'
import { areEvents, type HistoryEvent, isClient } from '../operation.ts'
import { show } from '../show.ts'
import { MalformedHistoryError } from '../transactions/malformed.ts'

/** An invocation with its answer: what a model steps over. */
export interface Operation {
  readonly process: string | number
  readonly f: string
  /** What was asked: the value of the invocation. */
  readonly input: unknown
  /** What was answered; meaningless unless `known`. */
  readonly output: unknown
  /** False when no answer is known: the operation may have taken effect at any time after its invocation, or never. */
  readonly known: boolean
  readonly key: unknown
  /** Positions in the history; `completedAt` is `Infinity` unless `known`. */
  readonly invokedAt: number
  readonly completedAt: number
  /** Lines in the source, or positions in the array. */
  readonly invokedLine: number
  readonly completedLine: number
  /** Of a step of an operation that has several: the operation, and the step that must take effect before this one. */
  readonly partOf?: Operation
  readonly after?: Operation
}

/**
 * Pairs invocations with answers. As in Jepsen: `fail` did not happen and is dropped; `info`, and an invocation without
 * an answer, stays open to the end and may or may not have happened. An answer whose `value` is absent repeats the
 * value of its invocation. Processes that are no clients (`nemesis`) are skipped.
 *
 * With `independent`, values are pairs `[key, value]`, as jepsen.independent writes them.
 * @throws MalformedHistoryError when a process begins an operation before the last one ended, or an answer has none.
 */
export function pairOperations(
  events: readonly HistoryEvent[],
  options: { readonly independent?: boolean } = {},
): Operation[] {
  checkArguments('pairOperations', areEvents(events), isObject('options', options))
  const { independent } = options
  checkOptions(
    'pairOperations',
    options,
    ['independent'],
    [independent === undefined || isBoolean('independent', independent)],
  )
  const operations: Operation[] = []
  const pending = new Map<string | number, number>()
  const slots: (HistoryEvent | undefined)[] = []
  const places: number[] = []
  const results: (Operation | undefined)[] = []
  const add = (
    sent: HistoryEvent,
    at: number,
    answered: HistoryEvent | undefined,
    until: number,
  ): Operation => {
    let key = sent.key
    let input = sent.value
    let output = answered?.value
    if (options.independent === true) {
      const split = tuple(sent, at)
      key = split.key
      input = split.value
      output = undefined
      if (answered?.value !== undefined) {
        const said = tuple(answered, until)
        sameKey(key, said.key, answered, until)
        output = said.value
      }
    } else if (answered?.key !== undefined) sameKey(key, answered.key, answered, until)
    return {
      process: sent.process,
      f: sent.f,
      input,
      output: answered?.result === undefined ? (output === undefined ? input : output) : answered.result,
      known: answered !== undefined,
      key,
      invokedAt: at,
      completedAt: answered === undefined ? Number.POSITIVE_INFINITY : until,
      invokedLine: sent.line ?? at,
      completedLine: answered?.line ?? until,
    }
  }
  for (let at = 0; at < events.length; at++) {
    const event = events[at] as HistoryEvent
    const { process, type } = event
    if (!isClient(process)) continue
    const slot = pending.get(process)
    if (type === 'invoke') {
      if (slot !== undefined) {
        const other = slots[slot] as HistoryEvent
        throw malformed(
          event,
          at,
          `process ${process} invokes ${event.f} before its ${other.f} (${place(other, places[slot] as number)}) has ended`,
        )
      }
      pending.set(process, slots.length)
      slots.push(event)
      places.push(at)
      results.push(undefined)
      continue
    }
    if (slot === undefined) {
      // Jepsen lets a process log `info` on its own account.
      if (type === 'info') continue
      throw malformed(event, at, `${type} of ${event.f}, but process ${process} has nothing under way`)
    }
    const sent = slots[slot] as HistoryEvent
    if (sent.f !== event.f) {
      throw malformed(event, at, `process ${process} ends ${event.f}, but it had invoked ${sent.f}`)
    }
    pending.delete(process)
    if (type === 'ok') results[slot] = add(sent, places[slot] as number, event, at)
    else if (type === 'info') results[slot] = add(sent, places[slot] as number, undefined, at)
  }
  if (slots.length === 0 && !events.some(({ process }) => isClient(process))) {
    const line = events.at(-1)?.line
    throw new MalformedHistoryError(
      line ?? 0,
      'the history holds no operation',
      line === undefined ? 'operation' : 'line',
    )
  }
  for (const slot of pending.values()) {
    results[slot] = add(slots[slot] as HistoryEvent, places[slot] as number, undefined, events.length)
  }
  for (const operation of results) if (operation !== undefined) operations.push(operation)
  return operations
}

/** Operations that ask for nothing, so that a pair in their invocation can only be a key with no value. */
const ASK_NOTHING = new Set(['read', 'get', 'dequeue', 'drain', 'pop', 'acquire', 'release'])

/**
 * Whether a history tells by itself that its values are pairs `[key, value]`: every invocation has a pair, and of those
 * that ask for nothing there is one at least and each has `nil` in it.
 */
export function looksIndependent(events: readonly HistoryEvent[]): boolean {
  let told = false
  for (const { process, type, f, value, key } of events) {
    if (type !== 'invoke' || !isClient(process)) continue
    if (key !== undefined || !Array.isArray(value) || value.length !== 2) return false
    if (!ASK_NOTHING.has(f)) continue
    if (value[1] !== null) return false
    told = true
  }
  return told
}

function sameKey(asked: unknown, said: unknown, event: HistoryEvent, at: number): void {
  if (asked === said || canonical(asked) === canonical(said)) return
  throw malformed(
    event,
    at,
    `process ${event.process} ends ${event.f} of key ${show(said)}, but it had invoked it of ${asked === undefined ? 'none' : `key ${show(asked)}`}`,
  )
}

function tuple(event: HistoryEvent, at: number): { key: unknown; value: unknown } {
  const { value } = event
  if (!Array.isArray(value) || value.length !== 2) {
    throw malformed(event, at, 'with independent keys each value must be a pair [key, value]')
  }
  return { key: value[0], value: value[1] }
}

function place(event: HistoryEvent, at: number): string {
  return event.line === undefined ? `operation ${at}` : `line ${event.line}`
}

function malformed(event: HistoryEvent, at: number, problem: string): MalformedHistoryError {
  return event.line === undefined
    ? new MalformedHistoryError(at, problem, 'operation')
    : new MalformedHistoryError(event.line, problem)
}
