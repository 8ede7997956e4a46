import type { RaceDefinition } from 'holdfast/race'
import type pg from 'pg'
import { inTransaction } from '../../test/support/in-transaction.ts'

/** A well-known race as people write it, and the same with its cure. Neither has an assertion. */
export interface Case {
  readonly name: string
  readonly anomaly: string
  readonly broken: RaceDefinition
  readonly repaired: RaceDefinition
}

type Query = (text: string, values?: unknown[]) => Promise<pg.QueryResult>

/** The tables of all cases; made once. */
export const TABLES = `
  create table account (id text primary key, balance int not null);
  create table doctor (id text primary key, shift int not null, on_call boolean not null);
  create table member (id serial primary key, email text not null);
  create table member_once (id serial primary key, email text not null unique);
  create table booking (id serial primary key, room int not null, hour int not null);
  create table room (id int primary key, seats int not null);`

export function casesOn(pool: pg.Pool): Case[] {
  const transaction = <T>(work: (query: Query) => Promise<T>, level = 'read committed'): Promise<T> =>
    inTransaction(
      pool,
      (client) => work((text, values) => client.query(text, values)),
      `begin isolation level ${level}`,
    )

  const accounts = (db: { query: Query }) =>
    db.query(`delete from account; insert into account values ('a', 100), ('b', 100)`)
  const withdraw = (amount: number, lock: string) =>
    transaction(async (query) => {
      const { rows } = await query(`select balance from account where id = 'a' ${lock}`)
      await query(`update account set balance = $1 where id = 'a'`, [rows[0].balance - amount])
    })
  const transfer = (from: string, to: string) =>
    transaction(async (query) => {
      await query('update account set balance = balance - 10 where id = $1', [from])
      await query('update account set balance = balance + 10 where id = $1', [to])
    })
  const goHome = (id: string, level: string) =>
    transaction(async (query) => {
      const { rows } = await query('select id from doctor where shift = 1 and on_call')
      if (rows.length >= 2) await query('update doctor set on_call = false where id = $1', [id])
    }, level)
  const join = (table: string) =>
    transaction(async (query) => {
      const { rows } = await query(`select 1 from ${table} where email = 'ann@example.com'`)
      if (rows.length === 0) await query(`insert into ${table} (email) values ('ann@example.com')`)
    })
  const book = (lock: string) =>
    transaction(async (query) => {
      const { rows: room } = await query(`select seats from room where id = 7 ${lock}`)
      const { rows } = await query('select count(*)::int as n from booking where room = 7 and hour = 9')
      if (rows[0].n < room[0].seats) await query('insert into booking (room, hour) values (7, 9)')
    })

  const two = (task: () => Promise<unknown>, other = task) => ({
    alice: async () => void (await task()),
    bob: async () => void (await other()),
  })
  const define = (
    setup: (db: { query: Query }) => unknown,
    tasks: RaceDefinition['tasks'],
  ): RaceDefinition => ({ store: pool, setup: setup as RaceDefinition['setup'] & object, tasks })
  const doctors = (db: { query: Query }) =>
    db.query(`delete from doctor; insert into doctor values ('a', 1, true), ('b', 1, true)`)
  const members = (table: string) => (db: { query: Query }) => db.query(`delete from ${table}`)
  const rooms = (db: { query: Query }) =>
    db.query('delete from booking; delete from room; insert into room values (7, 1)')
  return [
    {
      name: 'lost update',
      anomaly: 'lost update',
      broken: define(
        accounts,
        two(
          () => withdraw(30, ''),
          () => withdraw(50, ''),
        ),
      ),
      repaired: define(
        accounts,
        two(
          () => withdraw(30, 'for update'),
          () => withdraw(50, 'for update'),
        ),
      ),
    },
    {
      name: 'write skew',
      anomaly: 'write skew',
      broken: define(
        doctors,
        two(
          () => goHome('a', 'repeatable read'),
          () => goHome('b', 'repeatable read'),
        ),
      ),
      repaired: define(
        doctors,
        two(
          () => goHome('a', 'serializable'),
          () => goHome('b', 'serializable'),
        ),
      ),
    },
    {
      name: 'check-then-insert',
      anomaly: 'check-then-insert',
      broken: define(
        members('member'),
        two(() => join('member')),
      ),
      repaired: define(
        members('member_once'),
        two(() => join('member_once')),
      ),
    },
    {
      name: 'deadlock',
      anomaly: 'deadlock',
      broken: define(
        accounts,
        two(
          () => transfer('a', 'b'),
          () => transfer('b', 'a'),
        ),
      ),
      repaired: define(
        accounts,
        two(
          () => transfer('a', 'b'),
          () => transfer('a', 'b'),
        ),
      ),
    },
    {
      name: 'phantom',
      anomaly: 'phantom',
      broken: define(
        rooms,
        two(() => book('')),
      ),
      repaired: define(
        rooms,
        two(() => book('for update')),
      ),
    },
  ]
}
