import { PayloadError, type PayloadIssue } from './errors.ts'

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
 * @throws PayloadError with the path of every field that does not fit, and no contents of `value`: valibot and arktype
 * quote what they met, so their words are in `detail` alone
 */
export function checkSchema<Output>(
  subject: string,
  schema: StandardSchemaV1<unknown, Output>,
  value: unknown,
): Output | Promise<Output> {
  const settle = (result: StandardResult<Output>): Output => {
    if (result.issues === undefined) return result.value
    throw new PayloadError(
      subject,
      result.issues.map((issue) => new SchemaIssue(issue, value)),
    )
  }
  const result = schema['~standard'].validate(value)
  return result instanceof Promise ? result.then(settle) : settle(result)
}

class SchemaIssue implements PayloadIssue {
  readonly path: string
  readonly message: string
  /** Private, so that logs and JSON show it only where somebody asks for it. */
  readonly #detail: string

  constructor({ path = [], message }: StandardIssue, value: unknown) {
    const keys = path.map((part) => (typeof part === 'object' ? part.key : part))
    this.path = keys.reduce<string>(
      (text, key) => (typeof key === 'number' ? `${text}[${key}]` : `${text}.${String(key)}`),
      '$',
    )
    const kind = kindOf(keys.reduce(fieldOf, value))
    // Not "missing": the path may name what a transformation of the schema makes, which the value need not have.
    this.message = kind === undefined ? 'not given' : `${kind} that does not fit the schema`
    this.#detail = message
  }

  get detail(): string {
    return this.#detail
  }
}

function fieldOf(value: unknown, key: PropertyKey): unknown {
  return (value as Record<PropertyKey, unknown> | null | undefined)?.[key]
}

/** What a value is, without what it says; undefined where there is none. */
function kindOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return value === null ? 'a null' : undefined
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
