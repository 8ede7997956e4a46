import { ConfigError } from '../core/errors.ts'

/** The part of Kysely's `Transaction` that joining calls. */
export interface KyselyTransactionLike {
  readonly isTransaction: boolean
  executeQuery(query: unknown): Promise<{ rows: unknown[]; numAffectedRows?: bigint }>
  withoutPlugins(): Pick<KyselyTransactionLike, 'executeQuery'>
}

/** Drizzle keeps the driver's client of the open transaction in its session. */
interface DrizzleTransactionLike {
  readonly session: { readonly client: unknown }
  rollback(): never
}

export function isKysely(handle: unknown): handle is KyselyTransactionLike {
  return typeof (handle as KyselyTransactionLike | null)?.executeQuery === 'function'
}

/**
 * Runs one statement in Kysely's open transaction, as Kysely's own `CompiledQuery.raw` would, and past its plugins: one
 * that renames columns would hide ours.
 */
export async function runOnKysely(
  kysely: KyselyTransactionLike,
  text: string,
  values: readonly unknown[],
): Promise<{ rows: unknown[]; changes: number }> {
  const { rows, numAffectedRows } = await kysely.withoutPlugins().executeQuery({
    sql: text,
    parameters: values,
    query: { kind: 'RawNode', sqlFragments: [text], parameters: [] },
    queryId: { queryId: `holdfast-${text.length}` },
  })
  return { rows, changes: Number(numAffectedRows ?? 0) }
}

/**
 * The driver's client inside a Drizzle transaction, or undefined when `handle` is not Drizzle's.
 * @throws ConfigError when it is Drizzle's `db` itself, outside a transaction
 */
export function drizzleClient(handle: unknown): unknown {
  const session = (handle as Partial<DrizzleTransactionLike> | null)?.session
  if (session === undefined || !('client' in Object(session))) return undefined
  if (typeof (handle as Partial<DrizzleTransactionLike>).rollback !== 'function')
    throw noTransaction('Drizzle')
  return session.client
}

export function noTransaction(library: string): ConfigError {
  return new ConfigError('join', [
    `no transaction is open on the ${library} handle; pass the \`tx\` that its transaction function gives you`,
  ])
}
