// npx holdfast race withdraw.race.mjs, with DATABASE_URL naming an empty database
import { race } from 'holdfast/race'
import pg from 'pg'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })

async function withdraw(account, amount) {
  const { rows } = await pool.query('select balance from account where id = $1', [account])
  const left = rows[0].balance - amount
  if (left < 0) throw new Error('not enough money')
  await pool.query('update account set balance = $1 where id = $2', [left, account])
}

export default race('two withdrawals', {
  store: pool,
  setup: (db) =>
    db.query(`create table if not exists account (id text primary key, balance int not null);
              delete from account; insert into account values ('acct', 100)`),
  tasks: { alice: () => withdraw('acct', 80), bob: () => withdraw('acct', 50) },
})
