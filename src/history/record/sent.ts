import { COMPANIONS, type Companions } from '../../core/companions.ts'
import { kindOf, type StatementKind } from './statement-kind.ts'

/** The part of pg's results that is looked at. */
export interface RecordedResult {
  readonly command?: string | null
  readonly fields?: readonly { readonly tableID: number; readonly columnID: number; readonly name: string }[]
  readonly rows?: readonly unknown[]
}

export type Callback = (error: unknown, result: RecordedResult | undefined) => void

/** What a call of `query` sends: a statement, and what a query object of the store sends before and behind it. */
export interface Sent {
  readonly kind: StatementKind
  readonly text: string
  readonly before: StatementKind | undefined
  readonly after: StatementKind | undefined
}

/** Undefined for what answers in a way of its own, such as a cursor. */
export function sentBy(query: unknown): Sent | undefined {
  if (typeof query === 'string')
    return { kind: kindOf(query), text: query, before: undefined, after: undefined }
  if (typeof query !== 'object' || query === null) return undefined
  const { text, submit, callback, [COMPANIONS]: companions } = query as QueryObject
  if (typeof text !== 'string' || (submit !== undefined && typeof callback !== 'function')) return undefined
  const kindOfSome = (some: string | undefined) => (some === undefined ? undefined : kindOf(some))
  return {
    kind: kindOf(text),
    text,
    before: kindOfSome(companions?.before),
    after: kindOfSome(companions?.after),
  }
}

interface QueryObject {
  readonly text?: unknown
  /** Only on query objects of the driver, not on plain `{ text, values }`. */
  readonly submit?: unknown
  callback?: unknown
  readonly [COMPANIONS]?: Companions
}

/** Has `settle` told of the answer, whichever way the caller chose to hear of it, and before the caller is. */
export function answeredTo(settle: Callback, args: unknown[], send: () => unknown): unknown {
  const heard = (callback: Callback): Callback => {
    return (error, result) => {
      settle(error, result)
      callback(error, result)
    }
  }
  const last = args.at(-1)
  if (typeof last === 'function') {
    args[args.length - 1] = heard(last as Callback)
    return send()
  }
  const { callback } = args[0] as QueryObject
  if (typeof callback === 'function') {
    ;(args[0] as QueryObject).callback = heard(callback as Callback)
    return send()
  }
  const answer = send() as Promise<RecordedResult> | undefined
  answer?.then?.(
    (result) => settle(undefined, result),
    (error) => settle(error, undefined),
  )
  return answer
}
