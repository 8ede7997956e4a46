/** A schedule is what happened: replayed, it happens again, waits and deadlocks included; where it cannot, the step is named. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { explore, type RaceDefinition, type RaceOptions, race } from '../../src/race/index.ts'
import { type FreshPool, freshPool, inTransaction } from '../support/postgres.ts'

let db: FreshPool
beforeAll(async () => {
  db = await freshPool()
  await db.pool.query('create table account (id text primary key, balance int not null)')
})
afterAll(() => db.drop())

function look(tasks: RaceDefinition['tasks'], options: RaceOptions, invariant?: () => boolean) {
  const setup: RaceDefinition['setup'] = (on) =>
    on.query(`delete from account; insert into account values ('a', 100), ('b', 100)`)
  const definition = { store: db.pool, setup, tasks, ...(invariant === undefined ? {} : { invariant }) }
  return explore(race('replay', definition), options)
}

const withdraw = (amount: number, lock: string) => () =>
  inTransaction(db.pool, async (client) => {
    const { rows } = await client.query(`select balance from account where id = 'a' ${lock}`)
    await client.query(`update account set balance = $1 where id = 'a'`, [rows[0].balance - amount])
  })
const transfer = (from: string, to: string) => () =>
  inTransaction(db.pool, async (client) => {
    for (const id of [from, to])
      await client.query('update account set balance = balance - 1 where id = $1', [id])
  })

const locked = { alice: withdraw(30, 'for update'), bob: withdraw(50, 'for update') }
const cases: readonly {
  readonly name: string
  readonly replay: string
  readonly tasks: RaceDefinition['tasks']
  /** What the finding says. */
  readonly why: RegExp
  readonly anomaly: string
  readonly waits: number
}[] = [
  {
    name: 'a lost update, whose writer waits',
    replay: 'r1:a2b3aba',
    tasks: { alice: withdraw(30, ''), bob: withdraw(50, '') },
    why: /no serial order/,
    anomaly: 'lost update',
    waits: 1,
  },
  {
    name: 'a deadlock',
    replay: 'r1:a2b2ab',
    tasks: { alice: transfer('a', 'b'), bob: transfer('b', 'a') },
    why: /deadlock/,
    anomaly: 'deadlock',
    waits: 2,
  },
  {
    name: 'a wait that ends well',
    replay: 'r1:a2b2a2b',
    tasks: locked,
    why: /invariant/,
    anomaly: 'invariant violated',
    waits: 1,
  },
]

it.each(cases)('$name replays alike every time', async ({ replay, tasks, why, anomaly, waits }) => {
  const seen = new Set<string>()
  const invariant = why.test('invariant') ? () => false : undefined
  // Three cases make the hundred.
  for (let n = 0; n < 34; n += 1) {
    const { finding } = await look(tasks, { replay }, invariant)
    expect(finding?.explanation).toMatch(why)
    // The row lock makes the second read see the first write: no update is lost where it waited.
    expect(finding?.anomaly).toBe(anomaly)
    expect(finding?.schedule.startsWith(replay)).toBe(true)
    expect(finding?.steps.filter(({ waitedFor }) => waitedFor !== undefined)).toHaveLength(waits)
    seen.add(JSON.stringify([finding?.schedule, finding?.steps, finding?.deadlock, finding?.outcome]))
  }
  expect(seen.size).toBe(1)
})

it.each([
  ['a task that has ended', 'r1:a9', 5],
  ['a task that waits', 'r1:a2b3', 5],
])('a replay that asks for %s is named at its step', async (_, replay, step) => {
  await expect(look(locked, { replay })).rejects.toMatchObject({ code: 'RACE_SCHEDULE_DIVERGED', step })
})
