/** What a statement means for others; whatever is not understood depends on everything, or ends the reduction. */
import { describe, expect, it } from 'vitest'
import { meaningOf } from '../../src/race/meaning.ts'
import type { Relation, Relations } from '../../src/race/relations.ts'

const plain = (name: string, ...tied: string[]): Relation => ({
  writes: [name, ...tied],
  changes: [name],
  strange: false,
  clock: false,
})
const relations: Relations = new Map([
  ['account', plain('account')],
  ['order', plain('order', 'account')],
  ['dated', { ...plain('dated'), clock: true }],
  ['view', { ...plain('view'), strange: true }],
  ['above', { ...plain('above', 'view'), changes: ['above', 'view'] }],
  ['before', { ...plain('before', 'dated'), changes: ['before', 'dated'] }],
])
const meaning = (text: string, values: unknown[] = []) => meaningOf(text, values, relations)
const access = (reads: string[], locks: string[] = []) => ({ kind: 'access', reads, locks })

describe('what is understood', () => {
  it.each([
    ['select balance from account where id = $1', access(['account'])],
    ['SELECT "balance" FROM "account" "a" WHERE "a"."id" = $1 LIMIT $2', access(['account'])],
    ['select balance from public.account for update', access(['account'], ['account'])],
    ['select balance from account for key share', access(['account'], ['account'])],
    ['select 1', access([])],
    [`insert into account (id, note) values ('delete from "order"', 1)`, access(['account'], ['account'])],
    ['insert into "order" (id) values ($1) returning id;', access(['order'], ['order', 'account'])],
    ['update account set balance = greatest(balance - $1, 0)', access(['account'], ['account'])],
    [
      'update account set balance = (select max(id) from "order")',
      access(['account', 'order'], ['account', 'order', 'account']),
    ],
  ])('%s', (text, expected) => expect(meaning(text)).toEqual(expected))

  it.each([
    ['begin', 'begin'],
    ['START TRANSACTION ISOLATION LEVEL READ COMMITTED;', 'begin'],
    ['commit', 'end'],
    ['ROLLBACK;', 'end'],
    ['savepoint s1', 'nothing'],
  ])('%s', (text, kind) => expect(meaning(text)).toEqual({ kind }))
})

describe('what depends on everything', () => {
  it.each([
    'begin isolation level serializable',
    'begin isolation level repeatable read',
    'set lock_timeout = 100',
    'rollback to savepoint s1',
    'select transfer(1, 2)',
    'select public.transfer (1, 2)',
    'select pg_advisory_lock(1)',
    'select * from view',
    'delete from above',
    'select * from unknown',
    'select * from account join unknown using (id)',
    'update unknown set n = 1',
    'with moved as (delete from account returning id) select * from moved',
    `select * from account where id = e'\\''`,
    `select 'account'::regclass`,
    'select "a--b" from account, "order"',
    'select balance from account for update nowait',
  ])('%s', (text) => expect(meaning(text)).toEqual({ kind: 'opaque' }))
})

describe('what may change the meaning of other statements', () => {
  it.each([
    'create table account (id int)',
    'truncate account',
    'call transfer(1, 2)',
    'begin; drop table account',
    'select 1; create table t (id int)',
    'do $$ begin end $$',
    'select now()',
    'select xmin from account',
    'insert into account values (current_timestamp)',
    `insert into account values ('now')`,
    'insert into dated (id) values (1)',
    'delete from before',
  ])('%s', (text) => expect(meaning(text)).toEqual({ kind: 'upsets' }))

  it('the clock as a parameter', () => {
    expect(meaning('insert into account values ($1)', ['now'])).toEqual({ kind: 'upsets' })
  })
})
