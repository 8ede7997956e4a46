// Five well-known races as a user writes them, each with its repaired version. ./driver.mjs says which driver it is.
import { sql } from 'holdfast'
import { race } from 'holdfast/race'
import { sqlite } from 'holdfast/sqlite'
import { readVersioned, updateVersioned } from 'holdfast/version'
import { Database } from './driver.mjs'

function open(file) {
  const db = new Database(file)
  db.exec('pragma busy_timeout = 5000')
  db.exec('pragma journal_mode = wal')
  return db
}

const file = process.env.DATABASE_URL ?? 'bank.db'
const db = open(file)
const other = open('other.db')
db.exec(`create table if not exists account (id text primary key, balance int not null, version int not null default 1);
  create table if not exists doctor (id text primary key, on_call int not null);
  create table if not exists guest (id integer primary key, email text not null);
  create table if not exists member (id integer primary key, email text not null unique);
  create table if not exists booking (id integer primary key, room int not null)`)
other.exec('create table if not exists entry (id integer primary key, text text not null)')

const setup = (on) =>
  on.query(`delete from account; delete from doctor; delete from guest; delete from member; delete from booking;
    insert into account (id, balance) values ('acct', 100); insert into doctor values ('ann', 1), ('ben', 1)`)

function within(handle, begin, work) {
  handle.exec(begin)
  try {
    const value = work()
    handle.exec('commit')
    return value
  } catch (error) {
    handle.exec('rollback')
    throw error
  }
}

function withdraw(amount) {
  const { balance } = db.prepare('select balance from account where id = ?').get('acct')
  if (balance < amount) throw new Error('not enough money')
  db.prepare('update account set balance = ? where id = ?').run(balance - amount, 'acct')
}

function goHome(id) {
  const { n } = db.prepare('select count(*) as n from doctor where on_call = 1').get()
  if (n < 2) return 'stays'
  db.prepare('update doctor set on_call = 0 where id = ?').run(id)
  return 'goes'
}

function signUp(email) {
  if (db.prepare('select id from guest where email = ?').get(email) !== undefined) return 'there'
  db.prepare('insert into guest (email) values (?)').run(email)
  return 'new'
}

function signUpOnce(email) {
  const { changes } = db
    .prepare('insert into member (email) values (?) on conflict (email) do nothing')
    .run(email)
  return Number(changes) === 1 ? 'new' : 'there'
}

function book(room) {
  const { taken } = db.prepare('select count(*) as taken from booking where room = ?').get(room)
  if (taken >= 1) return 'full'
  db.prepare('insert into booking (room) values (?)').run(room)
  return 'booked'
}

function bookAtOnce(room) {
  const { changes } = db
    .prepare('insert into booking (room) select ? where (select count(*) from booking where room = ?) < 1')
    .run(room, room)
  return Number(changes) === 1 ? 'booked' : 'full'
}

/** Two files, written in one transaction each. */
function transfer(first, second) {
  within(first, 'begin immediate', () => within(second, 'begin immediate', () => {}))
}

const store = sqlite({ open: () => new Database(file) })

/** Two transactions of the store, with the decision between them. */
async function withdrawInTwo(amount) {
  const [{ balance }] = await store.read(sql`select balance from account where id = 'acct'`)
  if (balance < amount) throw new Error('not enough money')
  await store.execute(sql`update account set balance = ${balance - amount} where id = 'acct'`)
}

async function withdrawLocked(amount) {
  await store.transaction(async (tx) => {
    const [{ balance }] = await tx.lockRows('account', { id: 'acct' })
    if (balance < amount) throw new Error('not enough money')
    await tx.execute(sql`update account set balance = ${balance - amount} where id = 'acct'`)
  })
}

async function withdrawVersioned(amount) {
  const { row, version } = await store.transaction((tx) => readVersioned(tx, 'account', { id: 'acct' }))
  if (row.balance < amount) throw new Error('not enough money')
  await store.transaction((tx) =>
    updateVersioned(tx, 'account', { id: 'acct' }, version, { balance: row.balance - amount }),
  )
}

// Under --store a race may leave its store out.
const path = process.env.DATABASE_URL === undefined ? 'sqlite:bank.db' : undefined
const two = (name, alice, bob, on = path) =>
  race(name, {
    store: on,
    setup,
    tasks: { alice, bob },
    options: { schedules: name.includes('updateVersioned') ? 40 : 120 },
  })
const same = (name, task) => two(name, task, task)
const both = (name, task, on) =>
  two(
    name,
    () => task(80),
    () => task(50),
    on,
  )

const all = [
  both('lost update', withdraw),
  both('lost update, repaired', (amount) => within(db, 'begin immediate', () => withdraw(amount))),
  // Its BEGIN is the first statement of the task, and prepared out of sight.
  ...(db.transaction === undefined
    ? []
    : [
        both('lost update, repaired by transaction()', (amount) =>
          db.transaction(() => withdraw(amount)).immediate(),
        ),
      ]),
  two(
    'write skew',
    () => goHome('ann'),
    () => goHome('ben'),
  ),
  // Deferred: SQLite refuses the one whose snapshot is old.
  two(
    'write skew, repaired',
    () => within(db, 'begin', () => goHome('ann')),
    () => within(db, 'begin', () => goHome('ben')),
  ),
  same('check-then-insert', () => signUp('a@b')),
  same('check-then-insert, repaired', () => signUpOnce('a@b')),
  same('phantom', () => book(7)),
  same('phantom, repaired', () => bookAtOnce(7)),
  two(
    'deadlock',
    () => transfer(db, other),
    () => transfer(other, db),
  ),
  same('deadlock, repaired', () => transfer(db, other)),
  both('holdfast: lost update', withdrawInTwo, store),
  both('holdfast: lost update, lockRows', withdrawLocked, store),
  both('holdfast: lost update, updateVersioned', withdrawVersioned, store),
]

export default all.filter(({ name }) => new RegExp(process.env.RACE_ONLY ?? '').test(name))
