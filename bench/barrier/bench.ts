import { migrate, type OwnTransaction, sql, type Transaction } from 'holdfast'
import { effectTables } from 'holdfast/effects'
import { createParticipant } from 'holdfast/participant'
import { postgres } from 'holdfast/postgres'
import { MANY, sampleOneAndMany } from '../lib/clients.ts'
import { countFlights, sampleCosts } from '../lib/costs.ts'
import { atMost, pairedRatio, type Sample, toRows } from '../lib/report.ts'
import { openPool, withDatabase } from '../lib/server.ts'
import type { Bench } from '../main.ts'

const ACCOUNTS = 5_000

/**
 * What the barrier adds to one business transaction, on PostgreSQL: an account is locked, charged, and the charge written
 * down. For comparison also to the smallest transaction there is, which inserts one row. Each call is the first of its
 * saga, which is the dearest. `no result` is the barrier around work that gives none.
 *
 * What no barrier can do without stands beside it: `one row first`, a bare insert of one key in front of the work, without
 * a gate, an epoch or a result; and, cheaper still, `one row with COMMIT`: the same insert behind the work, in the flight of
 * COMMIT, which is no barrier, since the work of a repetition would have run.
 */
export const bench: Bench = {
  async run({ serverUrl, rounds, scale, only, progress }) {
    const samples: Sample[] = []
    for (let round = 1; round <= rounds; round++) {
      await withDatabase(serverUrl, async (url) => {
        const pool = openPool(url, 17)
        const counts = countFlights(pool)
        const store = postgres(pool)
        await migrate(store, [effectTables])
        await pool.query('create table account (id int primary key, balance int not null)')
        await pool.query(`insert into account select n, 1000000 from generate_series(0, ${ACCOUNTS - 1}) n`)
        await pool.query(
          'create table charge (id text primary key, account int not null, amount int not null)',
        )
        await pool.query('analyze account')
        await pool.query('create table seen (id text primary key)')
        const participant = createParticipant(store)
        let n = 0
        const charge = async (tx: OwnTransaction, id: string) => {
          const account = (n * 7919) % ACCOUNTS
          const [row] = await tx.query<{ balance: number }>(
            sql`select balance from account where id = ${account} for update`,
          )
          if ((row?.balance ?? 0) < 1) throw new Error('no money')
          await tx.execute(sql`update account set balance = balance - 1 where id = ${account}`)
          await tx.execute(sql`insert into charge (id, account, amount) values (${id}, ${account}, 1)`)
          return { id }
        }
        const insert = async (tx: OwnTransaction, id: string) => {
          await tx.execute(sql`insert into charge (id, account, amount) values (${id}, 1, 1)`)
        }
        for (const [name, work] of Object.entries({
          'charge an account': charge,
          'insert one row': insert,
        })) {
          const ways: Record<string, () => Promise<unknown>> = {
            plain: () => store.transaction((tx) => work(tx, `${round}-${n++}`)),
            'one row first': () => {
              const id = `${round}-${n++}`
              return store.transaction(async (tx) => {
                if (
                  (await tx.execute(sql`insert into seen (id) values (${id}) on conflict do nothing`)) === 0
                )
                  throw new Error('it was there before')
                return work(tx, id)
              })
            },
            'one row with COMMIT': () => {
              const id = `${round}-${n++}`
              return store.transaction((tx) => {
                tx.beforeCommit(insertSeen, id)
                return work(tx, id)
              })
            },
            'no result': () => {
              const saga = `${round}-${n++}`
              return participant.transaction({ saga, step: 'charge', phase: 'do', epoch: 1n }, async (tx) => {
                await work(tx, saga)
              })
            },
            barrier: () => {
              const saga = `${round}-${n++}`
              return participant.transaction({ saga, step: 'charge', phase: 'do', epoch: 1n }, (tx) =>
                work(tx, saga),
              )
            },
          }
          const tell = (text: string) => progress(`round ${round}: ${text}`)
          const measured = { name, unit: 'transactions/s', only }
          samples.push(
            ...(await sampleOneAndMany(ways, measured, { turns: 8, durationMs: 3_000 * scale }, tell)),
          )
          const counted = { clients: MANY, calls: 1_500 }
          samples.push(...(await sampleCosts(ways, { pool, counts, name }, counted)))
        }
        await pool.end()
      })
    }
    const cost = (metric: string): number => 1 / pairedRatio(samples, metric, 'barrier', 'plain') - 1
    return {
      bench: 'barrier',
      rows: toRows(samples),
      targets: [
        atMost('barrier.cost', cost('charge an account, 16 at a time'), 0.15),
        atMost('barrier.cost1', cost('charge an account, 1 at a time'), 0.15),
      ],
    }
  },
}

/** For `beforeCommit`. */
async function insertSeen(_: Transaction, [id]: readonly string[]) {
  return sql`insert into seen (id) values (${id as string})`
}
