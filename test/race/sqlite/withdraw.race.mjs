// A race file as a user writes it: each thread opens RACE_SQLITE_FILE for itself when it loads this file.
import { race } from 'holdfast/race'
import Database from 'libsql'

const db = new Database(process.env.RACE_SQLITE_FILE, { timeout: 5_000 })
db.pragma('journal_mode = wal')
db.exec('create table if not exists account (id text primary key, balance int not null)')
db.exec(
  'create table if not exists slip (id integer primary key, account text not null, amount int not null)',
)

const balanceOf = db.prepare('select balance from account where id = ?')
const update = db.prepare('update account set balance = ? where id = ?')

function withdraw(id, amount) {
  const { balance } = balanceOf.get(id)
  if (balance < amount) throw new Error('not enough money')
  update.run(balance - amount, id)
}

/** `begin` says how; SQLite decides the rest. */
function inTransaction(begin, work) {
  db.exec(begin)
  try {
    const value = work()
    db.exec('commit')
    return value
  } catch (error) {
    if (db.inTransaction) db.exec('rollback')
    throw error
  }
}

const unseen = () => Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50).value

const setup = (on) =>
  on.query(`delete from account; delete from slip; insert into account values ('acct', 100), ('b', 100)`)
const two = (name, task, other = task) =>
  race(name, { store: db, setup, tasks: { alice: () => task(80), bob: () => other(50) } })

const all = [
  two('lost update', (amount) => withdraw('acct', amount)),
  two('immediate', (amount) => inTransaction('begin immediate', () => withdraw('acct', amount))),
  two('one statement', (amount) => {
    const { changes } = db
      .prepare('update account set balance = balance - ? where id = ? and balance >= ?')
      .run(amount, 'acct', amount)
    return changes
  }),
  two('deferred', (amount) => inTransaction('begin', () => withdraw('acct', amount))),
  // SQLite itself rolls the first transaction back, and the next one begins afresh: it waits.
  two('rolled back by a conflict', () => {
    const again = db.prepare("insert or rollback into account values ('b', 0)")
    try {
      inTransaction('begin immediate', () => again.run())
    } catch {}
    inTransaction('begin immediate', () => update.run(1, 'acct'))
  }),
  two('check-then-insert', (amount) => {
    if (db.prepare('select id from slip where account = ?').get('acct') !== undefined) return 'there'
    db.prepare('insert into slip (account, amount) values (?, ?)').run('acct', amount)
    return 'new'
  }),
  two('ids and pauses', async (amount) => {
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    db.prepare('insert into slip (account, amount) values (?, ?)').run('acct', amount)
    return Date.now()
  }),
  two('rejections that nobody handles', (amount) => {
    void Promise.reject(new Error(`gone: ${amount}`))
    return inTransaction('begin immediate', () => withdraw('acct', 1))
  }),
  two('an await that nothing sees', async (amount) => {
    db.exec('begin immediate')
    await unseen()
    withdraw('acct', amount / 10)
    db.exec('commit')
    await unseen()
  }),
]

export default all.filter(({ name }) => !process.env.RACE_ONLY || name === process.env.RACE_ONLY)
