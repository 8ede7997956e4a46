import { describe, expect, it } from 'vitest'
import {
  comparedColumns,
  forUpdate,
  insertTarget,
  whyNotPlain,
  withColumn,
  withCondition,
} from '../../src/race/remedy/plain-select.ts'
import { serializable } from '../../src/race/remedy/treatment.ts'

describe('a SELECT that FOR UPDATE may stand behind', () => {
  it.each([
    'select balance from account where id = $1',
    'SELECT "Account"."id" AS "id" FROM "account" "Account" WHERE "Account"."id" = $1 ORDER BY id, name LIMIT 1;',
    `select * from note where text = 'select count(*) from x, y group by z'`,
    'select id -- from a, b\n from account',
  ])('%s', (text) => {
    expect(whyNotPlain(text)).toBeUndefined()
  })

  it.each([
    ['select count(*) from booking', 'it adds up rows'],
    ['select room, 1 from booking group by room', 'it adds up rows'],
    ['select distinct room from booking', 'it adds up rows'],
    ['select 1 union select 2 from a', 'it holds several SELECTs'],
    ['select id from a where b in (select b from c)', 'it holds several SELECTs'],
    ['select a.id from a join b on a.id = b.id', 'it reads several tables'],
    ['select a.id from a, b where a.id = b.id', 'it reads several tables'],
    ['select id from a for share', 'it locks already'],
    ['select now()', 'it reads no table'],
    ['select 1 from a; select 2 from b', 'it is several statements'],
    ['with x as (select 1) select 1 from x', 'it is no SELECT'],
    ['update a set b = 1', 'it is no SELECT'],
  ])('not %s', (text, why) => {
    expect(whyNotPlain(text)).toBe(why)
  })
})

describe('a statement changed', () => {
  it.each([
    [forUpdate('select 1 from a;'), 'select 1 from a for update'],
    [withColumn(`select 'from', b from a where c`, 'v'), `select 'from', b, v from a where c`],
    [
      withCondition('update a set b = 1 where c = 1 or d = 2', 'v'),
      'update a set b = 1 where (c = 1 or d = 2) and v',
    ],
    [
      withCondition(`update a set b = 'where' where c = 'returning' returning *`, 'v'),
      `update a set b = 'where' where (c = 'returning') and v returning *`,
    ],
    [withCondition('update a set b = 1;', 'v'), 'update a set b = 1 where v;'],
    [withCondition('update a set b = 1 returning b', 'v'), 'update a set b = 1 where v returning b'],
    [serializable('begin'), 'begin isolation level serializable'],
    [serializable('BEGIN;'), 'BEGIN isolation level serializable;'],
    [
      serializable('start transaction isolation level repeatable read read only'),
      'start transaction isolation level serializable read only',
    ],
    [
      serializable('SET TRANSACTION ISOLATION LEVEL READ COMMITTED'),
      'SET TRANSACTION isolation level serializable',
    ],
    [serializable('set transaction read only'), 'set transaction read only'],
    [serializable('commit'), 'commit'],
  ])('%s', (changed, wanted) => {
    expect(changed).toBe(wanted)
  })

  it('of several statements is none', () => {
    expect(withCondition('update a set b = 1 where c = 1; select 1', 'v')).toBeUndefined()
  })
})

describe('what a unique key could be over', () => {
  it.each([
    ['email = $1', ['email']],
    [`("member"."Email" = $1) AND member.team = 'a and b' and n = -1.5`, ['"Email"', 'team', 'n']],
  ])('%s', (where, columns) => {
    expect(comparedColumns(where)).toEqual(columns)
  })

  it.each(['lower(email) = $1', 'n > 3', 'a = b', 'a = 1 or b = 2', ''])('not %s', (where) => {
    expect(comparedColumns(where)).toBeUndefined()
  })

  it.each([
    [
      'insert into "Member" ("Email", team) values ($1, $2)',
      { table: '"Member"', columns: ['email', 'team'] },
    ],
    ['INSERT INTO shop.member AS m SELECT 1', { table: 'shop.member', columns: undefined }],
    ['update a set b = 1', undefined],
  ])('%s', (text, target) => {
    expect(insertTarget(text)).toEqual(target)
  })
})
