/** Lost update, with pg: both read the balance, both write what is left of it, and one withdrawal is gone. */
import { race } from 'holdfast/race'
import pg from 'pg'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })

async function withdraw(amount: number, read: string): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    const { rows } = await client.query(read)
    await client.query(`update account set balance = $1 where id = 'a'`, [rows[0].balance - amount])
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}

function withdrawals(name: string, read: string) {
  return race(name, {
    store: pool,
    setup: (db) =>
      db.query(`create table if not exists account (id text primary key, balance int not null);
                delete from account; insert into account values ('a', 100)`),
    tasks: { alice: () => withdraw(30, read), bob: () => withdraw(50, read) },
  })
}

const READ = `select balance from account where id = 'a'`

export default [
  withdrawals('two withdrawals', READ),
  // Who reads in order to write locks the row.
  withdrawals('two withdrawals, repaired', `${READ} for update`),
]
