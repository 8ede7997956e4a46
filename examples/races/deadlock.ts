/** Deadlock, with Knex: two transfers lock the same two rows in opposite order. */
import { race } from 'holdfast/race'
import knexOf from 'knex'
import pg from 'pg'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
export const knex = knexOf({ client: 'pg', connection: process.env.DATABASE_URL as string })

async function transfer(from: string, to: string, ordered: boolean): Promise<void> {
  const both = [
    { id: from, by: -10 },
    { id: to, by: 10 },
  ]
  if (ordered) both.sort((x, y) => (x.id < y.id ? -1 : 1))
  await knex.transaction(async (tx) => {
    for (const { id, by } of both) await tx('account').where({ id }).increment('balance', by)
  })
}

function transfers(name: string, ordered: boolean) {
  return race(name, {
    store: pool, // of the same pg that Knex uses
    setup: (db) =>
      db.query(`create table if not exists account (id text primary key, balance int not null);
                delete from account; insert into account values ('a', 100), ('b', 100)`),
    tasks: { there: () => transfer('a', 'b', ordered), back: () => transfer('b', 'a', ordered) },
  })
}

export default [
  transfers('two transfers', false),
  // Everybody locks in one order.
  transfers('two transfers, repaired', true),
]
