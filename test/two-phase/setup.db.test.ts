/** What cannot work is refused at start, with the remedy. */
import { migrate } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { createTwoPhase, twoPhaseTables } from 'holdfast/two-phase'
import pg from 'pg'
import { expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { freshPool } from '../support/postgres.ts'
import { startPostgres } from '../support/postgres-server.ts'
import { openSqlite } from '../support/sqlite.ts'

it('max_prepared_transactions = 0 is refused by check, and by the first transaction', async () => {
  await using server = await startPostgres({ max_prepared_transactions: '0' })
  await using database = await freshPool()
  const log = postgres(database.pool)
  await migrate(log, [twoPhaseTables])
  const pool = new pg.Pool({ connectionString: server.url })
  const broken = postgres(pool)
  const twoPhase = createTwoPhase(log, { participants: { log, broken } })
  const refused = {
    code: 'TWO_PHASE_SETUP',
    outcome: 'not-applied',
    message: expect.stringMatching(/participant "broken".*max_prepared_transactions = 0.*restart the server/),
  }
  await expect(twoPhase.check()).rejects.toMatchObject(refused)
  let ran = false
  const running = twoPhase([log, broken], async () => {
    ran = true
  })
  await expect(running).rejects.toMatchObject(refused)
  expect(ran).toBe(false)
  await twoPhase([log], async (txs) => void (await txs[0].query('select 1')))
  await pool.end()
})

it('a proxy that pools by transaction is refused; a direct connection is not', async () => {
  await using database = await freshPool()
  const log = postgres(database.pool)
  await migrate(log, [twoPhaseTables])
  await createTwoPhase(log, { participants: { direct: postgres(await otherPool(database.url)) } }).check()

  const twoPhase = createTwoPhase(log, {
    participants: { pooled: postgres(transactionPooling(database.pool)) },
  })
  await expect(twoPhase.check()).rejects.toMatchObject({
    code: 'TWO_PHASE_SETUP',
    message: expect.stringMatching(/"pooled".*pools by transaction.*connect to the server itself/),
  })
  await Promise.all(opened.map((pool) => pool.end()))
})

const opened: pg.Pool[] = []
async function otherPool(connectionString: string): Promise<pg.Pool> {
  const pool = new pg.Pool({ connectionString })
  opened.push(pool)
  return pool
}

/** As PgBouncer does in transaction mode: a statement outside of a transaction goes to whatever connection is free. */
function transactionPooling(pool: pg.Pool) {
  const connect = async () => {
    let held: pg.PoolClient | undefined
    return {
      processID: 424_242, // the proxy's own number, as it announces to its clients
      on: () => {},
      async query(text: string, values?: unknown[]) {
        const client = held ?? (await pool.connect())
        if (/^begin/i.test(text)) held = client
        try {
          return await client.query(text, values)
        } finally {
          if (/^(commit|rollback)/i.test(text)) held = undefined
          if (held === undefined) client.release()
        }
      },
      release: () => {},
    }
  }
  return { connect } as unknown as pg.Pool
}

it('an SQLite log that may forget is refused', async () => {
  await using database = await freshPool()
  using folder = tempFolder('two-phase')
  await using store = sqlite({ open: () => openSqlite(folder.file('log.db')), synchronous: 'normal' })
  await migrate(store, [twoPhaseTables])
  const twoPhase = createTwoPhase(store, { participants: { payments: postgres(database.pool) } })
  await expect(twoPhase.check()).rejects.toMatchObject({
    code: 'TWO_PHASE_SETUP',
    message: expect.stringMatching(/synchronous: 'full'/),
  })
})

it('missing tables say what to run', async () => {
  await using database = await freshPool()
  const log = postgres(database.pool)
  await expect(createTwoPhase(log, { participants: { log } }).check()).rejects.toMatchObject({
    code: 'SCHEMA_REVISION',
    message: expect.stringMatching(/holdfast migrate/),
  })
})
