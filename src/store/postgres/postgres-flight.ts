import type { PgClientLike, PgPoolLike, PgResultLike } from './postgres-client.ts'
import type { PgStatement } from './postgres-statements.ts'

/** The part of pg's connection and Query that is used to send two commands at once. */
interface PgConnection {
  parse(query: { text: string; name: string; types: undefined }): void
  bind(query: { portal: string; statement: string; values: [] }): void
  execute(query: { portal: string }): void
  readonly submittedNamedStatements?: Record<string, string>
}

interface PgQuery {
  name: string | undefined
  callback: ((error: Error | null, result: PgResultLike) => void) | undefined
  prepare(connection: PgConnection): void
  requiresPreparation(): boolean
  handleCommandComplete(message: unknown, connection: PgConnection): void
  handleError(error: Error, connection: PgConnection): void
}

type PgQueryClass = new (config: PgStatement) => PgQuery

const made = new WeakMap<object, new (config: PgStatement, beginText: string) => PgQuery>()

/**
 * Sends BEGIN and the first statement in one flight, before a single Sync: when BEGIN fails, the server skips the
 * statement, so it can never run outside a transaction.
 *
 * Undefined when the driver cannot (pg-native), or the text may hold several statements; BEGIN is then sent alone.
 * @see PostgreSQL manual, Message Flow, "Extended Query"
 */
export function beginWith(
  pool: PgPoolLike,
  client: PgClientLike,
  beginText: string,
  statement: PgStatement,
): Promise<PgResultLike> | undefined {
  if (statement.values.length === 0 && statement.text.includes(';')) return undefined
  const Query = pool.Client?.Query as PgQueryClass | undefined
  if (typeof Query?.prototype?.prepare !== 'function') return undefined
  const BeginQuery = made.get(Query) ?? beginQueryOf(Query)
  made.set(Query, BeginQuery)
  const query = new BeginQuery(statement, beginText)
  return new Promise((resolve, reject) => {
    query.callback = (error, result) => (error ? reject(error) : resolve(result))
    client.query(query)
  })
}

/** pg's Query with a BEGIN before it, whose own answers (ParseComplete, BindComplete, CommandComplete) are passed over. */
function beginQueryOf(Query: PgQueryClass): new (config: PgStatement, beginText: string) => PgQuery {
  return class BeginQuery extends Query {
    readonly #beginText: string
    /** The name of the statement; kept from pg until BEGIN is answered, since pg takes each ParseComplete for its own. */
    #name: string | undefined
    #beginning = false

    constructor(config: PgStatement, beginText: string) {
      super(config)
      this.#beginText = beginText
    }

    override requiresPreparation(): boolean {
      return true
    }

    override prepare(connection: PgConnection): void {
      connection.parse({ text: this.#beginText, name: '', types: undefined })
      connection.bind({ portal: '', statement: '', values: [] })
      connection.execute({ portal: '' })
      super.prepare(connection)
      this.#beginning = true
      this.#name = this.name
      this.name = undefined
    }

    override handleCommandComplete(message: unknown, connection: PgConnection): void {
      if (!this.#beginning) {
        super.handleCommandComplete(message, connection)
        return
      }
      this.#beginning = false
      this.name = this.#name
    }

    override handleError(error: Error, connection: PgConnection): void {
      if (this.#beginning && this.#name !== undefined)
        delete connection.submittedNamedStatements?.[this.#name]
      super.handleError(error, connection)
    }
  }
}
