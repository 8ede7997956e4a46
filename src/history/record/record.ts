import { checkArguments, checkOptions, hasMethods, isName, isObject } from '../../core/options.ts'
import type { HistoryEvent } from '../operation.ts'
import { answeredTo, type Callback, type RecordedResult, type Sent, sentBy } from './sent.ts'
import { keyed, type TrackedTable, tablesOf } from './tracked-tables.ts'

/** The part of pg's Pool that is used. */
export interface RecordedPool {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>
  // biome-ignore lint/suspicious/noExplicitAny: pg types its clients and listeners in ways that differ by version
  on(event: 'acquire', listener: (client: any) => void): unknown
  // biome-ignore lint/suspicious/noExplicitAny: as above
  removeListener(event: 'acquire', listener: (client: any) => void): unknown
}

interface RecordedClient {
  query(...args: unknown[]): unknown
}

export interface RecordOptions {
  /**
   * The tables to record, each with its version column, which every write must raise; the key column is `id` unless
   * told otherwise: `{ account: 'version', menu: { version: 'revision', key: 'dish' } }`.
   */
  readonly versions: Readonly<Record<string, string | { readonly version: string; readonly key?: string }>>
}

export interface Recording {
  /** The history up to now, for `checkHistory` with `rw-register`: keys are `table/key`, values are versions. */
  events(): HistoryEvent[]
  /** The same as JSON lines, for `holdfast check`. */
  toJsonLines(): string
  /** Writes to recorded tables whose new version is not known, since they returned neither key nor version. */
  readonly unrecordedWrites: number
  /** Leaves the pool as it was. What was recorded stays. */
  stop(): void
}

type MicroOp = readonly ['r' | 'w', string, number, number]

/**
 * Records what the transactions of a `pg` Pool read and wrote, as a history whose order of versions is known.
 *
 * A row counts as read when a SELECT answered its key and version columns, and as written when an INSERT or UPDATE did,
 * by RETURNING. The server says from which table a column comes, so names, aliases and libraries do not matter. Rows of
 * other tables are not recorded, and for tables without a version column the order of versions is unknown (`xmin` does
 * not give it): check those by recording their operations yourself.
 *
 * Guarantee: no statement is changed or added, but for one at the start. What was read and not seen written (rows from
 * before, or an unrecorded write) appears as a transaction of its own that may have happened at any time.
 * Bounds: memory grows by one small array for each recorded row.
 * @throws ConfigError when a table or a column is not there
 */
export async function record(pool: RecordedPool, options: RecordOptions): Promise<Recording> {
  checkArguments(
    'record',
    hasMethods('pool', pool, 'a pg.Pool', 'query', 'on', 'removeListener'),
    isObject('options', options),
    isObject('versions', options?.versions),
  )
  const names = Object.keys(options.versions)
  checkOptions(
    'record',
    options,
    ['versions'],
    [
      names.length > 0 || 'versions must name at least one table',
      ...names.map((name) => isName('a table', name)),
    ],
  )
  const tables = await tablesOf(pool, options.versions)
  const recorder = new Recorder(tables)
  const acquire = (client: RecordedClient): void => recorder.watch(client)
  pool.on('acquire', acquire)
  return {
    events: () => recorder.events(),
    toJsonLines: () =>
      recorder
        .events()
        .map((event) => `${JSON.stringify(event)}\n`)
        .join(''),
    get unrecordedWrites() {
      return recorder.unrecordedWrites
    },
    stop() {
      pool.removeListener('acquire', acquire)
      recorder.stop()
    },
  }
}

/** A transaction of one connection, from its first statement to its end. */
interface Open {
  readonly invoke: Entry
  readonly operations: MicroOp[]
  readonly savepoints: { readonly name: string; readonly length: number }[]
}

interface Entry {
  readonly type: HistoryEvent['type']
  readonly process: number
  /** Only for the end of a transaction. */
  readonly operations?: readonly MicroOp[]
  /** Nothing recorded happened in it. */
  dropped: boolean
}

class Recorder {
  unrecordedWrites = 0
  readonly #tables: ReadonlyMap<number, TrackedTable>
  readonly #mentions: RegExp
  readonly #entries: Entry[] = []
  readonly #original = new Map<RecordedClient, RecordedClient['query']>()
  readonly #open = new WeakMap<RecordedClient, Open>()
  readonly #process = new WeakMap<RecordedClient, number>()
  #processes = 0

  constructor(tables: ReadonlyMap<number, TrackedTable>) {
    this.#tables = tables
    const names = [...tables.values()].map((t) => t.bare.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    this.#mentions = new RegExp(`\\b(${names.join('|')})\\b`, 'i')
  }

  watch(client: RecordedClient): void {
    if (this.#original.has(client)) return
    const original = client.query
    this.#original.set(client, original)
    client.query = (...args) => this.#query(client, original, args)
  }

  stop(): void {
    for (const [client, query] of this.#original) client.query = query
    this.#original.clear()
  }

  #query(client: RecordedClient, original: RecordedClient['query'], args: unknown[]): unknown {
    const sent = sentBy(args[0])
    if (sent === undefined) return original.apply(client, args)
    if (sent.before === 'begin' || sent.kind === 'begin') this.#begin(client)
    const inTransaction = this.#open.has(client)
    const looked = sent.kind === 'statement' && this.#mentions.test(sent.text)
    const endsIt = sent.after !== undefined
    if (sent.kind === 'statement' && !looked && !endsIt) return original.apply(client, args)
    if (looked && !inTransaction) this.#begin(client)
    const settle: Callback = (error, result) =>
      this.#answered(client, { ...sent, looked, alone: looked && !inTransaction }, error ?? undefined, result)
    return answeredTo(settle, args, () => original.apply(client, args))
  }

  #begin(client: RecordedClient): void {
    if (this.#open.has(client)) return
    const invoke: Entry = { type: 'invoke', process: this.#processOf(client), dropped: false }
    this.#entries.push(invoke)
    this.#open.set(client, { invoke, operations: [], savepoints: [] })
  }

  #answered(
    client: RecordedClient,
    sent: Answered,
    error: unknown,
    result: RecordedResult | undefined,
  ): void {
    const open = this.#open.get(client)
    if (open === undefined) return
    if (error !== undefined) {
      // Without a severity it is not the server that speaks: the connection broke, and nobody knows.
      const refused = typeof (error as { severity?: unknown }).severity === 'string'
      if (!refused) this.#end(client, 'info')
      // Behind a statement that failed the server skips the COMMIT of the same flight.
      else if (sent.alone || sent.kind === 'commit' || sent.after === 'commit') this.#end(client, 'fail')
      return
    }
    if (Array.isArray(result)) {
      this.#severalAnswered(client, sent, result as RecordedResult[])
      return
    }
    switch (sent.kind) {
      case 'begin':
        return
      case 'commit':
        // A transaction that had failed answers ROLLBACK to COMMIT.
        this.#end(client, result?.command === 'ROLLBACK' ? 'fail' : 'ok', sent.text)
        return
      case 'rollback':
        this.#end(client, 'fail', sent.text)
        return
      case 'prepare':
        // Whoever ends it may be another connection.
        this.#end(client, 'info')
        return
      case 'savepoint':
        open.savepoints.push({ name: lastWord(sent.text), length: open.operations.length })
        return
      case 'rollback-to': {
        const at = open.savepoints.findLast((s) => s.name === lastWord(sent.text))
        if (at !== undefined) open.operations.length = at.length
        return
      }
      default:
        if (result !== undefined && sent.looked) this.#rows(open, result)
        if (sent.alone || sent.after === 'commit') this.#end(client, 'ok')
    }
  }

  /** Several statements in one text: what each was is known by what the server called it. */
  #severalAnswered(client: RecordedClient, { alone }: Answered, results: readonly RecordedResult[]): void {
    let explicit = !alone
    for (const result of results) {
      if (result.command === 'BEGIN' || result.command === 'START') {
        explicit = true
        this.#begin(client)
      } else if (result.command === 'COMMIT') this.#end(client, 'ok')
      // To a savepoint or not: the answer does not tell, and what was undone must not count as done.
      else if (result.command === 'ROLLBACK') this.#end(client, 'info')
      else {
        this.#begin(client)
        const open = this.#open.get(client)
        if (open !== undefined) this.#rows(open, result)
      }
    }
    if (!explicit) this.#end(client, 'ok')
  }

  #rows(open: Open, result: RecordedResult): void {
    const { command, fields = [], rows = [] } = result
    const writes = command === 'UPDATE' || command === 'INSERT' || command === 'MERGE'
    if (!writes && command !== 'SELECT') {
      if (command === 'DELETE') this.unrecordedWrites++
      return
    }
    const found = keyed(this.#tables, fields)
    if (found.length === 0) {
      if (writes) this.unrecordedWrites++
      return
    }
    for (const row of rows) {
      for (const { table, key, version } of found) {
        const get = (at: number): unknown =>
          Array.isArray(row) ? row[at] : (row as Record<string, unknown>)[fields[at]?.name as string]
        const number = Number(get(version))
        if (get(key) === null || !Number.isFinite(number)) continue // the empty side of an outer join
        open.operations.push([writes ? 'w' : 'r', `${table.name}/${String(get(key))}`, number, number])
      }
    }
  }

  #end(client: RecordedClient, type: 'ok' | 'fail' | 'info', text = ''): void {
    const open = this.#open.get(client)
    if (open === undefined) return
    this.#open.delete(client)
    const dropped = open.operations.length === 0
    open.invoke.dropped = dropped
    this.#entries.push({ type, process: open.invoke.process, operations: open.operations, dropped })
    if (type === 'info') this.#process.delete(client)
    if (/\band\s+chain\b/i.test(text)) this.#begin(client)
  }

  #processOf(client: RecordedClient): number {
    let process = this.#process.get(client)
    if (process === undefined) {
      process = this.#processes++
      this.#process.set(client, process)
    }
    return process
  }

  events(): HistoryEvent[] {
    const entries = this.#entries.filter((e) => !e.dropped)
    const written = new Set<string>()
    for (const { operations } of entries) {
      for (const [f, key, version] of operations ?? []) if (f === 'w') written.add(`${version} ${key}`)
    }
    const before: HistoryEvent[] = []
    let process = this.#processes
    for (const { operations } of entries) {
      for (const [, key, version] of operations ?? []) {
        if (written.has(`${version} ${key}`)) continue
        written.add(`${version} ${key}`)
        const value = [['w', key, version, version]]
        before.push({ process: process++, type: 'invoke', f: 'txn', value })
      }
    }
    return [
      ...before,
      ...entries.map((e): HistoryEvent => {
        const event = { process: e.process, type: e.type, f: 'txn' }
        return e.operations === undefined ? event : { ...event, value: e.operations }
      }),
    ]
  }
}

interface Answered extends Sent {
  /** Whether its text names a recorded table. */
  readonly looked: boolean
  /** A transaction of its own. */
  readonly alone: boolean
}

function lastWord(text: string): string {
  return (
    text
      .trim()
      .replace(/;+\s*$/, '')
      .split(/\s+/)
      .at(-1) ?? ''
  ).toLowerCase()
}
