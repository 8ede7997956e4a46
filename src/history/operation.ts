import { type Check, show } from '../core/options.ts'
/**
 * Whether a process is a client: the nemesis and the log of Jepsen's tests write into the same history, and what they
 * write is no operation. A client may have any other name.
 */
export function isClient(process: unknown): boolean {
  return typeof process !== 'string' || !/^:?(nemesis|log)$/.test(process)
}

/**
 * One line of a history, as Jepsen's tools write it: `invoke` begins an operation of a process, and `ok` (it happened),
 * `fail` (it did not) or `info` (nobody knows) ends it.
 *
 * Shape in JSON lines: `{"process":0,"type":"invoke","f":"write","value":3}`, and `key` where there are several objects.
 * The position in the history is its place in real time; `time` is only shown.
 */
export interface HistoryEvent {
  readonly type: 'invoke' | 'ok' | 'fail' | 'info'
  readonly process: string | number
  readonly f: string
  readonly value?: unknown
  readonly key?: unknown
  readonly time?: number
  /** An answer that says no: `false` when a compare-and-set compared unequal. */
  readonly result?: unknown
  /** Of a delivery: who consumes, where several do. */
  readonly group?: string
  /** Line in the source, from 1. */
  readonly line?: number
}

/** The events of a history that callers have at hand. */
export function areEvents(events: unknown): Check {
  return (
    (Array.isArray(events) && events.every((event) => typeof event === 'object' && event !== null)) ||
    `events must be an array of events, each { process, type, f, value }, got ${show(events)}`
  )
}
