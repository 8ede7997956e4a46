import { tame } from '../core/thrown.ts'
import { plain } from './returned.ts'

/** What crosses of an error between threads and processes. */
export interface ErrorReport {
  readonly name: string
  readonly message: string
  readonly stack?: string | undefined
  readonly fields: Readonly<Record<string, unknown>>
  readonly cause?: ErrorReport | undefined
}

/** By these an error is matched. */
const FIELDS = ['code', 'errcode', 'rawCode', 'outcome', 'step', 'problems'] as const

/** How deep errors may lie in errors. */
const DEPTH_MAX = 8

export function reportError(thrown: unknown, depth = 0): ErrorReport {
  const error = tame(thrown)
  if (!(error instanceof Error)) return { name: 'Error', message: textOf(error), fields: {} }
  const values = error as unknown as Record<string, unknown>
  const fields = Object.fromEntries(
    FIELDS.flatMap((name) => (values[name] === undefined ? [] : [[name, plain(values[name])]])),
  )
  const { name, message, stack, cause } = error
  return {
    name: String(name),
    message: String(message),
    stack: stack === undefined ? undefined : String(stack),
    fields,
    ...(cause !== undefined && depth < DEPTH_MAX && { cause: reportError(cause, depth + 1) }),
  }
}

/** Of what was thrown and is no error. */
export function textOf(thrown: unknown): string {
  return typeof thrown === 'string' ? thrown : (JSON.stringify(plain(thrown)) ?? String(thrown))
}

export function errorOf({ name, message, stack, fields, cause }: ErrorReport): Error {
  const error = cause === undefined ? new Error(message) : new Error(message, { cause: errorOf(cause) })
  return Object.assign(error, fields, { name, ...(stack === undefined ? {} : { stack }) })
}
