import { EventEmitter, once } from 'node:events'
import type { Table } from './print-table.ts'
import { type ServerMessage, wholeMessage } from './server-message.ts'

/** The part of pg's Client that a run of a spec calls. The application brings the driver. */
export interface SpecClient {
  connect(): Promise<unknown>
  end(): Promise<void>
  // biome-ignore lint/suspicious/noExplicitAny: promises of results for texts, and a query object that answers itself
  query(...args: any[]): any
  // biome-ignore lint/suspicious/noExplicitAny: each event has a shape of its own
  on(event: string, listener: (...args: any[]) => void): unknown
}

/** What one statement gave. A text of libpq's own stands where no server message did. */
export type StatementResult =
  | { readonly kind: 'done' }
  | { readonly kind: 'rows'; readonly table: Table }
  | { readonly kind: 'error'; readonly message: ServerMessage | string }
  | { readonly kind: 'unexpected'; readonly status: string }

export interface Notification {
  readonly processId: number
  readonly channel: string
  readonly payload: string
}

type Event =
  | { readonly kind: 'notice'; readonly text: string }
  | { readonly kind: 'notification'; readonly notification: Notification }
  | { readonly kind: 'result'; readonly result: StatementResult }
  | { readonly kind: 'ready' }

/** What libpq says of a connection that ended in the middle. */
const CLOSED =
  'server closed the connection unexpectedly\n' +
  '\tThis probably means the server terminated abnormally\n\tbefore or while processing the request.\n'

/**
 * One connection as libpq shows it: results of a submission of several statements one by one, with notices between them
 * in the order in which the server sent them. The order is what the tester's output consists of, so what arrives is kept
 * in a queue and taken out only where libpq would read it.
 */
export class SpecConnection {
  readonly name: string
  processId = 0
  /** Notices that were read since the connection was opened. */
  noticesRead = 0
  readonly #client: SpecClient
  readonly #onNotice: (text: string) => void
  readonly #events: Event[] = []
  readonly #arrived = new EventEmitter()
  readonly #notifications: Notification[] = []
  /** The result that is read and not yet taken. */
  #held: StatementResult | undefined
  /** Whether a submission runs whose end has not been read. */
  #running = false
  #sql = ''
  #lost = false
  /** An error was the answer, and the server is not ready yet. */
  #failed = false

  constructor(name: string, client: SpecClient, onNotice: (text: string) => void) {
    this.name = name
    this.#client = client
    this.#onNotice = onNotice
    this.#arrived.setMaxListeners(0)
    client.on('notice', (message: ServerMessage) =>
      this.#push({ kind: 'notice', text: wholeMessage(message, 'notice', this.#sql) }),
    )
    client.on('notification', ({ processId, channel, payload }: Notification) =>
      this.#push({ kind: 'notification', notification: { processId, channel, payload: payload ?? '' } }),
    )
    client.on('drain', () => this.#drained())
    client.on('error', () => this.#end())
    client.on('end', () => this.#end())
  }

  async open(applicationName: string): Promise<void> {
    await this.#client.connect()
    const { rows } = await this.#client.query(
      `select pg_catalog.pg_backend_pid() as pid,
              pg_catalog.set_config('application_name', $1, false)`,
      [`${applicationName}/${this.name}`],
    )
    this.processId = rows[0].pid
  }

  /** Also where it was lost. */
  async close(): Promise<void> {
    await this.#client.end().catch(() => {})
  }

  /** Sends a submission of any number of statements. Its results come from `nextResult`. False: the connection is gone. */
  send(sql: string): boolean {
    if (this.#lost) return false
    this.#sql = sql
    this.#running = true
    const failed = (): void => {
      this.#failed = true
    }
    this.#client.query(new Submission(sql, (event) => this.#push(event), failed))
    return true
  }

  /** Whether no result can be taken yet. Reads what has arrived, up to the first result. */
  isBusy(): boolean {
    this.#read()
    return this.#running && this.#held === undefined
  }

  /** The next result of the submission that runs; undefined after its last one. */
  async nextResult(): Promise<StatementResult | undefined> {
    while (this.isBusy()) await this.untilInput(undefined)
    const result = this.#held
    this.#held = undefined
    return result
  }

  /** All results of one submission. */
  async run(sql: string): Promise<StatementResult[]> {
    if (!this.send(sql)) return [{ kind: 'error', message: CLOSED }]
    const results: StatementResult[] = []
    for (;;) {
      const result = await this.nextResult()
      if (result === undefined) return results
      results.push(result)
    }
  }

  /** Waits until something arrives, for `ms` milliseconds at most; undefined for any time. False when nothing came. */
  async untilInput(ms: number | undefined): Promise<boolean> {
    if (this.#events.length > 0) return true
    if (ms === undefined) {
      await once(this.#arrived, 'event')
      return true
    }
    let timer: NodeJS.Timeout | undefined
    const arrived = await new Promise<boolean>((resolve) => {
      timer = setTimeout(() => {
        this.#arrived.removeAllListeners('event')
        resolve(false)
      }, ms)
      this.#arrived.once('event', () => resolve(true))
    })
    clearTimeout(timer)
    return arrived
  }

  /** NOTIFY messages that have been read since the last call. */
  takeNotifications(): Notification[] {
    this.#read()
    return this.#notifications.splice(0)
  }

  /** Notices and notifications are read wherever they are next; a result only while a statement is waited for. */
  #read(): void {
    for (let next = this.#events[0]; next !== undefined; next = this.#events[0]) {
      if (next.kind === 'notice') {
        this.noticesRead += 1
        this.#onNotice(next.text)
      } else if (next.kind === 'notification') this.#notifications.push(next.notification)
      else if (this.#held !== undefined) return
      else if (next.kind === 'result') this.#held = next.result
      else this.#running = false
      this.#events.shift()
    }
  }

  #push(event: Event): void {
    this.#events.push(event)
    this.#arrived.emit('event')
  }

  /**
   * The server is ready again. A query object is not told so after an error, and the error itself comes too early: the
   * server sends it before it releases the locks of the transaction, so that others would still be seen to wait.
   */
  #drained(): void {
    if (this.#failed) this.#push({ kind: 'ready' })
    this.#failed = false
  }

  #end(): void {
    if (this.#lost) return
    this.#lost = true
    if (!this.#running) return
    this.#push({ kind: 'result', result: { kind: 'error', message: CLOSED } })
    this.#push({ kind: 'ready' })
  }
}

/** What `pg` calls back with the messages of one simple query. */
class Submission {
  readonly #sql: string
  readonly #push: (event: Event) => void
  readonly #failed: () => void
  #columns: string[] | undefined
  #rows: (string | null)[][] = []

  constructor(sql: string, push: (event: Event) => void, failed: () => void) {
    this.#sql = sql
    this.#push = push
    this.#failed = failed
  }

  submit(connection: { query(sql: string): void }): void {
    connection.query(this.#sql)
  }

  handleRowDescription({ fields }: { fields: readonly { name: string }[] }): void {
    this.#columns = fields.map(({ name }) => name)
    this.#rows = []
  }

  handleDataRow({ fields }: { fields: (string | null)[] }): void {
    this.#rows.push(fields)
  }

  handleCommandComplete(): void {
    const columns = this.#columns
    this.#columns = undefined
    this.#result(
      columns === undefined ? { kind: 'done' } : { kind: 'rows', table: { columns, rows: this.#rows } },
    )
  }

  handleEmptyQuery(): void {
    this.#result({ kind: 'done' })
  }

  handleCopyInResponse(connection: { sendCopyFail(reason: string): void }): void {
    this.#result({ kind: 'unexpected', status: 'PGRES_COPY_IN' })
    connection.sendCopyFail('the isolation tester has no data to copy')
  }

  handleCopyData(): void {}

  /** After an error `pg` does not call `handleReadyForQuery`. After a fatal one nothing but the end follows. */
  handleError(message: ServerMessage & { readonly severity?: string }): void {
    // Without a severity it is the driver's own error of a lost connection, which the connection reports.
    if (message.severity === undefined) return
    this.#result({ kind: 'error', message })
    if (message.severity !== 'FATAL' && message.severity !== 'PANIC') this.#failed()
  }

  handleReadyForQuery(): void {
    this.#push({ kind: 'ready' })
  }

  #result(result: StatementResult): void {
    this.#push({ kind: 'result', result })
  }
}
