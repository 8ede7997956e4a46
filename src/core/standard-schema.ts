import { PayloadError } from './errors.ts'

/**
 * The Standard Schema interface, version 1, which zod, valibot and arktype implement. Copied, as its authors advise,
 * so that Holdfast depends on no schema library.
 *
 * @see https://standardschema.dev
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

export type SchemaInput<S> = S extends StandardSchemaV1<infer Input, unknown> ? Input : never
export type SchemaOutput<S> = S extends StandardSchemaV1<unknown, infer Output> ? Output : never

/**
 * Checks `value` and returns the schema's output (defaults filled, values transformed).
 * Stays synchronous where the schema does.
 *
 * @throws PayloadError with the path of every field that does not fit; row contents are not repeated in the message
 */
export function checkSchema<Output>(
  subject: string,
  schema: StandardSchemaV1<unknown, Output>,
  value: unknown,
): Output | Promise<Output> {
  const result = schema['~standard'].validate(value)
  return result instanceof Promise ? result.then((r) => settle(subject, r)) : settle(subject, result)
}

function settle<Output>(subject: string, result: StandardResult<Output>): Output {
  if (result.issues === undefined) return result.value
  throw new PayloadError(
    subject,
    result.issues.map((issue) => ({ path: showPath(issue.path), message: issue.message })),
  )
}

function showPath(path: StandardIssue['path']): string {
  return (path ?? []).reduce<string>((text, part) => {
    const key = typeof part === 'object' ? part.key : part
    return typeof key === 'number' ? `${text}[${key}]` : `${text}.${String(key)}`
  }, '$')
}
