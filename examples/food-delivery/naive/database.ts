import { setImmediate as turn } from 'node:timers/promises'
import { type DatabaseAddress, loadSqlite, openPgPool } from '../shared/database.ts'
import type { Naive } from './context.ts'

/**
 * A plain database client: one statement at a time, each a transaction of its own. Placeholders are `?` on both
 * databases. Each call takes a turn of the event loop, as with every client that talks to a server.
 *
 * `losesCommit` is the fault: asked for each statement that writes, it answers whether the connection breaks, and
 * whether that is before or after the statement was done.
 */
export async function openNaiveDatabase(
  address: DatabaseAddress,
  losesCommit: () => 'before' | 'after' | undefined,
): Promise<Naive['query']> {
  const run = address.kind === 'sqlite' ? await openSqlite(address.path) : await openPostgres(address.url)
  return async <Row>(text: string, ...values: readonly unknown[]): Promise<Row[]> => {
    const lost = /^\s*select/i.test(text) ? undefined : losesCommit()
    await turn()
    if (lost === 'before') throw new Error('connection lost')
    const rows = (await run(text, values)) as Row[]
    if (lost === 'after') throw new Error('connection lost')
    return rows
  }
}

type Run = (text: string, values: readonly unknown[]) => Promise<unknown[]>

async function openSqlite(path: string): Promise<Run> {
  const db = (await loadSqlite())(path)
  for (const pragma of ['busy_timeout = 5000', 'journal_mode = wal', 'synchronous = normal'])
    db.exec(`pragma ${pragma}`)
  const prepared = new Map<string, ReturnType<typeof db.prepare>>()
  return async (text, values) => {
    let statement = prepared.get(text)
    if (statement === undefined) {
      statement = db.prepare(text)
      prepared.set(text, statement)
    }
    if (/^\s*select/i.test(text)) return statement.all(...values)
    statement.run(...values)
    return []
  }
}

async function openPostgres(url: string): Promise<Run> {
  const pool = await openPgPool(url, 10)
  return async (text, values) => {
    let position = 0
    const { rows } = await pool.query(
      text.replace(/\?/g, () => `$${++position}`),
      values,
    )
    return rows
  }
}
