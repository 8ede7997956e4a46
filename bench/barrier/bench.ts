import { migrate, type OwnTransaction, sql, type Transaction } from 'holdfast'
import { effectTables } from 'holdfast/effects'
import { createParticipant, type StepCall } from 'holdfast/participant'
import { postgres } from 'holdfast/postgres'
import { MANY, sampleOneAndMany } from '../lib/clients.ts'
import { countFlights, sampleCosts } from '../lib/costs.ts'
import { atMost, pairedRatio, type Sample, toRows } from '../lib/report.ts'
import { openPool, withDatabase } from '../lib/server.ts'
import type { Bench } from '../main.ts'
import { byHand, type Call } from './by-hand.ts'

const ACCOUNTS = 5_000

/**
 * What the barrier adds to one business transaction, on PostgreSQL: an account is locked, charged, and the charge written
 * down. For comparison also to the smallest transaction there is, which inserts one row. Each call is the first of its
 * saga, which is the dearest. `no result` is the barrier around work that gives none.
 *
 * What no barrier can do without stands beside it: `one row first`, a bare insert of one key in front of the work, without
 * a gate, an epoch or a result; and, cheaper still, `one row with COMMIT`: the same insert behind the work, in the flight of
 * COMMIT, which is no barrier, since the work of a repetition would have run. `by hand` is without Holdfast.
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
        // The account is settled with the call. Were it chosen when the work begins, calls that have waited for the barrier
        // side by side would begin in one turn of the event loop, choose the same one, and wait for each other's row lock.
        const nextCall = (): Call => ({ id: `${round}-${n}`, account: (n++ * 7919) % ACCOUNTS })
        const charge = async (tx: OwnTransaction, { id, account }: Call) => {
          const [row] = await tx.query<{ balance: number }>(
            sql`select balance from account where id = ${account} for update`,
          )
          if ((row?.balance ?? 0) < 1) throw new Error('no money')
          await tx.execute(sql`update account set balance = balance - 1 where id = ${account}`)
          await tx.execute(sql`insert into charge (id, account, amount) values (${id}, ${account}, 1)`)
          return { id }
        }
        const insert = async (tx: OwnTransaction, { id }: Call) => {
          await tx.execute(sql`insert into charge (id, account, amount) values (${id}, 1, 1)`)
        }
        const hand = byHand(url, nextCall)
        for (const { name, work, others } of [
          { name: 'charge an account', work: charge, others: hand.ways },
          { name: 'insert one row', work: insert, others: {} },
        ]) {
          const ways: Record<string, () => Promise<unknown>> = {
            plain: () => {
              const call = nextCall()
              return store.transaction((tx) => work(tx, call))
            },
            'one row first': () => {
              const call = nextCall()
              return store.transaction(async (tx) => {
                const first = sql`insert into seen (id) values (${call.id}) on conflict do nothing`
                if ((await tx.execute(first)) === 0) throw new Error('it was there before')
                return work(tx, call)
              })
            },
            'one row with COMMIT': () => {
              const call = nextCall()
              return store.transaction((tx) => {
                tx.beforeCommit(insertSeen, call.id)
                return work(tx, call)
              })
            },
            'no result': () => {
              const call = nextCall()
              return participant.transaction(stepOf(call), async (tx) => {
                await work(tx, call)
              })
            },
            barrier: () => {
              const call = nextCall()
              return participant.transaction(stepOf(call), (tx) => work(tx, call))
            },
          }
          const tell = (text: string) => progress(`round ${round}: ${text}`)
          const measured = { name, unit: 'transactions/s', only }
          samples.push(
            ...(await sampleOneAndMany(
              { ...ways, ...others },
              measured,
              { turns: 8, durationMs: 3_000 * scale },
              tell,
            )),
          )
          const counted = { clients: MANY, calls: 1_500 }
          samples.push(...(await sampleCosts(ways, { pool, counts, name }, counted)))
        }
        await pool.end()
        await hand.end()
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

function stepOf({ id }: Call): StepCall {
  return { saga: id, step: 'charge', phase: 'do', epoch: 1n }
}

/** For `beforeCommit`. */
async function insertSeen(_: Transaction, [id]: readonly string[]) {
  return sql`insert into seen (id) values (${id as string})`
}
