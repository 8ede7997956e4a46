import { COMPANIONS, type Companions } from '../../core/companions.ts'
import type { PgClientLike, PgPoolLike, PgResultLike } from './postgres-client.ts'
import type { PgStatement } from './postgres-statements.ts'

/** The part of pg's connection and Query that is used to send several commands at once. */
interface PgConnection {
  parse(query: { text: string; name: string; types: undefined }): void
  bind(query: { portal: string; statement: string; values: [] }): void
  execute(query: { portal: string; rows?: undefined }): void
  sync(): void
  readonly submittedNamedStatements?: Record<string, string>
}

interface PgQuery {
  name: string | undefined
  readonly portal: string
  callback: ((error: Error | null, result: PgResultLike) => void) | undefined
  prepare(connection: PgConnection): void
  _getRows(connection: PgConnection, rows: undefined): void
  requiresPreparation(): boolean
  handleCommandComplete(message: unknown, connection: PgConnection): void
  handleError(error: Error, connection: PgConnection): void
}

type PgQueryClass = new (text: string, values: PgStatement['values']) => PgQuery
type FlightClass = new (config: PgStatement, companions: Companions) => PgQuery

const made = new WeakMap<object, FlightClass>()

/**
 * Sends a statement and its companions in one flight, before a single Sync. When one of them fails, the server skips
 * the rest: a statement never runs without its BEGIN, and a COMMIT is never reached behind a failed statement.
 *
 * Undefined when the driver cannot (pg-native), or the text may hold several statements; each is then to be sent alone.
 * @see PostgreSQL manual, Message Flow, "Extended Query"
 */
export function sendTogether(
  pool: PgPoolLike,
  client: PgClientLike,
  statement: PgStatement,
  companions: Companions,
): Promise<PgResultLike> | undefined {
  if (statement.values.length === 0 && statement.text.includes(';')) return undefined
  const Query = pool.Client?.Query as PgQueryClass | undefined
  if (typeof Query?.prototype?.prepare !== 'function' || typeof Query.prototype._getRows !== 'function')
    return undefined
  let Flight = made.get(Query)
  if (Flight === undefined) {
    Flight = flightOf(Query)
    made.set(Query, Flight)
  }
  const query = new Flight(statement, companions)
  return new Promise((resolve, reject) => {
    query.callback = (error, result) => (error ? reject(error) : resolve(result))
    client.query(query)
  })
}

/**
 * pg's Query with other commands around it, whose own answers (ParseComplete, BindComplete, CommandComplete) are
 * passed over.
 */
function flightOf(Query: PgQueryClass): FlightClass {
  return class Flight extends Query {
    readonly [COMPANIONS]: Companions
    /** The name of the statement; kept from pg until BEGIN is answered, since pg takes each ParseComplete for its own. */
    #name: string | undefined
    /** Whose CommandComplete comes next. */
    #next: 'before' | 'statement' | 'after' = 'statement'

    constructor({ name, text, values }: PgStatement, companions: Companions) {
      // A config object would be copied property by property, descriptors and all.
      super(text, values)
      this.name = name
      this[COMPANIONS] = companions
    }

    override requiresPreparation(): boolean {
      return true
    }

    override prepare(connection: PgConnection): void {
      const { before } = this[COMPANIONS]
      if (before !== undefined) send(connection, before)
      super.prepare(connection)
      if (before === undefined) return
      this.#next = 'before'
      this.#name = this.name
      this.name = undefined
    }

    /** The end of `prepare`: Execute and Sync. */
    override _getRows(connection: PgConnection): void {
      connection.execute({ portal: this.portal })
      const { after } = this[COMPANIONS]
      if (after !== undefined) send(connection, after)
      connection.sync()
    }

    override handleCommandComplete(message: unknown, connection: PgConnection): void {
      if (this.#next === 'before') {
        this.name = this.#name
        this.#next = 'statement'
      } else if (this.#next === 'statement') {
        super.handleCommandComplete(message, connection)
        this.#next = 'after'
      }
    }

    override handleError(error: Error, connection: PgConnection): void {
      if (this.#next === 'before' && this.#name !== undefined)
        delete connection.submittedNamedStatements?.[this.#name]
      super.handleError(error, connection)
    }
  }
}

function send(connection: PgConnection, text: string): void {
  connection.parse({ text, name: '', types: undefined })
  connection.bind({ portal: '', statement: '', values: [] })
  connection.execute({ portal: '' })
}
