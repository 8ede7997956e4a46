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

export function reportError(error: unknown): ErrorReport {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), fields: {} }
  const values = error as unknown as Record<string, unknown>
  const fields = Object.fromEntries(
    FIELDS.flatMap((name) => (values[name] === undefined ? [] : [[name, values[name]]])),
  )
  const { name, message, stack, cause } = error
  return { name, message, stack, fields, ...(cause !== undefined && { cause: reportError(cause) }) }
}

export function errorOf({ name, message, stack, fields, cause }: ErrorReport): Error {
  const error = cause === undefined ? new Error(message) : new Error(message, { cause: errorOf(cause) })
  return Object.assign(error, fields, { name, ...(stack === undefined ? {} : { stack }) })
}
