import { sql } from 'holdfast'
import { effectTables } from 'holdfast/effects'
import { createOutbox } from 'holdfast/outbox'
import { createParticipant } from 'holdfast/participant'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { allTables, migrate } from 'holdfast/tables'
import { failpoints } from 'holdfast/testing'
import { createTwoPhase, twoPhaseTables } from 'holdfast/two-phase'
import pg from 'pg'
import { afterEach, describe, expect, it } from 'vitest'
import { commitDecision } from '../../src/two-phase/log.ts'
import { tempFolder } from '../support/files.ts'
import { freshDatabase, freshPool } from '../support/postgres.ts'
import { openSqlite } from '../support/sqlite.ts'
import { until } from '../support/wait.ts'
import { move, moved, NOTHING, openWorld, places, useWorld, type World } from './world.ts'

afterEach(() => failpoints.reset())

const BEFORE_THE_DECISION = [
  'two-phase.begun',
  'two-phase.worked',
  'two-phase.preparing',
  'store.prepare.before',
  'two-phase.prepared',
  'two-phase.deciding',
]

describe.each(places)('with the log %s', (place) => {
  let world: World
  useWorld(place, (opened) => {
    world = opened
  })

  it('commits in both or in none', async () => {
    await using twoPhase = world.coordinator()
    expect(await move(twoPhase, world, 'a')).toBe('a')
    expect(await world.audit()).toEqual(moved('a'))

    const failing = twoPhase([world.payments, world.orders], async ([p, o]) => {
      await p.execute(sql`insert into moved (id) values ('b')`)
      await o.execute(sql`insert into moved (id) values ('b')`)
      throw new Error('changed my mind')
    })
    await expect(failing).rejects.toThrow('changed my mind')
    await expect(move(twoPhase, world, 'a')).rejects.toMatchObject({ code: 'CONSTRAINT_VIOLATED' })
    expect(await world.audit()).toEqual(moved('a'))
    await twoPhase.close()
    expect(await twoPhase.decisions({ finished: true })).toEqual([])
  })

  it('a participant that cannot prepare takes the others back', async () => {
    await using twoPhase = world.coordinator()
    await world.payments.execute('create table parent (id int primary key)')
    await world.payments.execute(
      'create table child (id int, parent int references parent (id) deferrable initially deferred)',
    )
    const failing = twoPhase([world.orders, world.payments], async ([o, p]) => {
      await o.execute(sql`insert into moved (id) values ('a')`)
      await p.execute('insert into child values (1, 7)')
    })
    await expect(failing).rejects.toMatchObject({ code: 'CONSTRAINT_VIOLATED', kind: 'foreign-key' })
    expect(await world.audit()).toEqual(NOTHING)
  })

  it('a swallowed error does not commit half', async () => {
    await using twoPhase = world.coordinator()
    await world.payments.execute(sql`insert into moved (id) values ('taken')`)
    const failing = twoPhase([world.orders, world.payments], async ([o, p]) => {
      await o.execute(sql`insert into moved (id) values ('a')`)
      await p.execute(sql`insert into moved (id) values ('taken')`).catch(() => {})
    })
    await expect(failing).rejects.toMatchObject({ code: 'TRANSACTION_ABORTED', outcome: 'not-applied' })
    expect(await world.audit()).toEqual({ orders: [], payments: ['taken'], prepared: [] })
  })

  it('a store that nothing was done in prepares nothing, and no decision is written for nothing', async () => {
    await using twoPhase = world.coordinator()
    await twoPhase([world.orders, world.payments], async ([o]) => {
      await o.execute(sql`insert into moved (id) values ('a')`)
    })
    await twoPhase([world.orders, world.payments], async () => {})
    expect(await world.audit()).toEqual({ orders: ['a'], payments: [], prepared: [] })
  })

  it('runs again what a database calls retriable', async () => {
    await using twoPhase = world.coordinator()
    await world.payments.execute('create table counter (n int)')
    await world.payments.execute('insert into counter values (0)')
    let runs = 0
    await twoPhase(
      [world.orders, world.payments],
      async ([o, p]) => {
        runs += 1
        await p.query('select n from counter')
        if (runs === 1) await world.payments.execute('update counter set n = n + 10')
        await p.execute('update counter set n = n + 1')
        await o.execute(sql`insert into moved (id) values (${`run ${runs}`})`)
      },
      { isolation: 'repeatable-read' },
    )
    expect(runs).toBe(2)
    expect((await world.audit()).orders).toEqual(['run 2'])
    expect(await world.payments.query('select n from counter')).toEqual([{ n: 11 }])
  })

  it('many at once, over pools of twenty', async () => {
    await using twoPhase = world.coordinator()
    const ids = Array.from({ length: 60 }, (_, i) => `m${String(i).padStart(2, '0')}`)
    await Promise.all(ids.map((id) => move(twoPhase, world, id)))
    expect(await world.audit()).toEqual(moved(...ids))
  })

  it('messages that were published leave when both have committed', async () => {
    await migrate(world.orders, allTables)
    await using twoPhase = world.coordinator()
    const outbox = createOutbox(world.orders)
    let hooks = 0
    const publishing = (fail: boolean) =>
      twoPhase([world.orders, world.payments], async ([o, p]) => {
        await outbox.publish(o, { topic: 't', key: 'k', payload: 1 })
        for (const tx of [o, p]) tx.afterCommit(() => void hooks++)
        await p.execute(sql`insert into moved (id) values ('a')`)
        if (fail) throw new Error('no')
      })
    await expect(publishing(true)).rejects.toThrow('no')
    expect(hooks).toBe(0)
    await publishing(false)
    expect(hooks).toBe(2)
    expect(await world.orders.query('select topic from holdfast_outbox')).toEqual([{ topic: 't' }])
  })

  it('an abort before the decision leaves nothing behind', async () => {
    await using twoPhase = world.coordinator()
    const stop = new AbortController()
    const running = twoPhase(
      [world.orders, world.payments],
      async ([o, p]) => {
        await o.execute(sql`insert into moved (id) values ('a')`)
        await p.execute(sql`insert into moved (id) values ('a')`)
        stop.abort(new Error('stop'))
      },
      { signal: stop.signal },
    )
    await expect(running).rejects.toThrow('stop')
    expect(await world.audit()).toEqual(NOTHING)
  })

  it('a time-out rolls back, and gives every connection back', async () => {
    await using twoPhase = world.coordinator()
    for (let i = 0; i < 12; i++) {
      const running = twoPhase(
        [world.orders, world.payments],
        async ([o, p]) => {
          await o.execute(sql`insert into moved (id) values ('a')`)
          await p.execute(sql`insert into moved (id) values ('a')`)
          await new Promise(() => {})
        },
        { timeoutMs: 60 },
      )
      await expect(running).rejects.toMatchObject({ code: 'TRANSACTION_TIMEOUT', outcome: 'not-applied' })
    }
    expect(await world.audit()).toEqual(NOTHING)
    await move(twoPhase, world, 'b')
    expect(await world.audit()).toEqual(moved('b'))
  })

  it('a fault at any place before the decision rolls back in both', async () => {
    await using twoPhase = world.coordinator()
    for (const point of BEFORE_THE_DECISION) {
      failpoints.arm(point, 'throw', { times: 1 })
      await expect(move(twoPhase, world, 'a'), point).rejects.toThrow()
      expect(await world.audit(), point).toEqual(NOTHING)
    }
    await move(twoPhase, world, 'b')
    expect(await world.audit()).toEqual(moved('b'))
  })

  it('recovery finds nothing to do where all went well', async () => {
    await using twoPhase = world.coordinator()
    await move(twoPhase, world, 'a')
    const nothing = { committed: 0, rolledBack: 0, waiting: 0, pending: [], unreachable: [] }
    expect(await twoPhase.recover({ inDoubtMs: 0 })).toEqual(nothing)
    expect(await world.audit()).toEqual(moved('a'))
  })

  it('a background recovery settles by itself what is left', async () => {
    await using twoPhase = world.coordinator()
    failpoints.arm('two-phase.committing', 'throw', { times: 1 })
    await move(twoPhase, world, 'a')
    expect((await world.audit()).prepared).toHaveLength(1)
    expect(await twoPhase.decisions()).toMatchObject([{ decision: 'commit' }])
    await using recovery = twoPhase.recovery({ everyMs: 20 })
    await until(async () => (await twoPhase.decisions()).length === 0)
    expect(await world.audit()).toEqual(moved('a'))
    await recovery.stop()
    expect(recovery.last?.pending).toEqual([])
    await recovery.done
  })
})

describe('what is not ours', () => {
  it('prepared transactions of another log, another database or another role are never touched', async () => {
    await using world = await openWorld('apart')
    await using twoPhase = world.coordinator()
    failpoints.arm('two-phase.committing', 'throw', { times: 2 })
    await move(twoPhase, world, 'ours')
    failpoints.reset()
    const [gid] = (await world.audit()).prepared
    const other = (gid as string).replace(/^holdfast:[0-9a-f]{16}/, 'holdfast:0123456789abcdef')
    const foreign = [other, 'holdfast:something else', 'app-17']
    const client = new pg.Client({ connectionString: world.at.payments })
    await client.connect()
    for (const name of foreign) {
      await client.query(
        `begin; insert into moved values ('${name.slice(-20)}'); prepare transaction '${name}'`,
      )
    }
    // Of our log by its name, and prepared by another role.
    const role = `other_${world.at.payments.slice(-8)}`
    await client.query(`create role ${role} login; grant all on moved to ${role}`)
    const url = new URL(world.at.payments)
    url.username = role
    const theirs = new pg.Client({ connectionString: url.href })
    await theirs.connect()
    const named = (gid as string).replace(/:[0-9a-f]{24}:\w+$/, `:${'a'.repeat(24)}:payments`)
    await theirs.query(`begin; insert into moved values ('theirs'); prepare transaction '${named}'`)
    try {
      expect(await twoPhase.recover({ inDoubtMs: 0 })).toMatchObject({
        committed: 2,
        rolledBack: 0,
        pending: [],
      })
      const { orders, prepared } = await world.audit()
      expect(orders).toEqual(['ours'])
      expect(prepared.sort()).toEqual([...foreign, named].sort())
    } finally {
      await theirs.query(`rollback prepared '${named}'`)
      await theirs.end()
      for (const name of foreign) await client.query(`rollback prepared '${name}'`)
      await client.query(`drop owned by ${role}; drop role ${role}`)
      await client.end()
    }
  })

  it('two logs in one database do not settle each other', async () => {
    await using world = await openWorld('orders')
    const one = world.coordinator({ name: 'one' })
    const two = world.coordinator({ name: 'two' })
    failpoints.arm('two-phase.committing', 'throw', { times: 1 })
    await move(one, world, 'a')
    expect(await two.recover({ inDoubtMs: 0 })).toMatchObject({ committed: 0, rolledBack: 0 })
    expect((await world.audit()).prepared).toHaveLength(1)
    expect(await one.recover({ inDoubtMs: 0 })).toMatchObject({ committed: 1 })
    expect(await world.audit()).toEqual(moved('a'))
  })
})

it('a decision that is carried out is forgotten once its window has passed, and not before', async () => {
  await using world = await openWorld('orders')
  const armed = failpoints.arm('two-phase.prepared', 'pause', { times: 1 })
  const moving = move(world.coordinator(), world, 'a').catch((error: { code: string }) => error.code)
  await armed.reached
  await world.coordinator().recover({ inDoubtMs: 0 })
  armed.resume()
  expect(await moving).toBe('TWO_PHASE_ABORTED')
  const left = async (agedMs: number) => {
    await world.log.execute(sql`update holdfast_two_phase set decided_at_ms = decided_at_ms - ${agedMs}`)
    const twoPhase = world.coordinator({ windowMs: 3_600_000 })
    await twoPhase.recover()
    return (await twoPhase.decisions({ finished: true })).map(({ decision }) => decision)
  }
  expect(await left(3_000_000)).toEqual(['abort'])
  expect(await left(601_000)).toEqual([])
})

describe('as a step that is tried again', () => {
  it.each(places)(
    'a barrier in one of its databases makes the repetition a repetition, with the log %s',
    async (place) => {
      await using world = await openWorld(place)
      await migrate(world.orders, [effectTables])
      await using twoPhase = world.coordinator()
      const barrier = createParticipant(world.orders)
      const attempt = (epoch: bigint) =>
        twoPhase([world.orders, world.payments], ([o, p]) =>
          barrier.run(o, { saga: 's', step: 'move', phase: 'do', epoch }, async () => {
            await o.execute(sql`insert into moved (id) values ('a')`)
            await p.execute(sql`insert into moved (id) values ('a')`)
            return 'moved'
          }),
        )
      // The answer of the first attempt is lost after the decision, with a share still prepared.
      failpoints.arm('two-phase.decided', 'throw', { times: 1 })
      await expect(attempt(1n)).rejects.toMatchObject({ code: 'FAILPOINT' })
      const again = attempt(2n)
      await twoPhase.recover({ inDoubtMs: 0 })
      expect(await again).toEqual({ kind: 'repeated', result: 'moved' })
      await expect(attempt(1n)).rejects.toMatchObject({ code: 'STALE_EPOCH' })
      expect(await world.audit()).toEqual(moved('a'))
    },
  )
})

describe('the decision', () => {
  it('is durable by itself, whatever the connection is set to', async () => {
    await using world = await openWorld('orders')
    const seen: unknown[] = []
    for (const set of ['off', 'local', 'remote_apply']) {
      const decision = newDecision(set)
      await world.orders.transaction(async (tx) => {
        await tx.query(`set local synchronous_commit = ${set}`)
        await tx.execute(commitDecision(world.orders, decision))
        const [row] = await tx.query<{ v: string }>("select current_setting('synchronous_commit') as v")
        seen.push(row?.v)
      })
    }
    expect(seen).toEqual(['on', 'on', 'remote_apply'])
  })

  it('is on the disk when it is a transaction by itself, too', async () => {
    await using lazy = await freshPool({ options: '-c synchronous_commit=off', max: 1 })
    const log = postgres(lazy.pool)
    await migrate(log, [twoPhaseTables])
    for (let i = 0; i < 20; i++) {
      const where = async (what: string) => {
        const { rows } = await lazy.pool.query(`select pg_current_wal_${what}_lsn() - '0/0'::pg_lsn as at`)
        return Number(rows[0].at)
      }
      const before = await where('insert')
      await log.autocommit(commitDecision(log, newDecision(`d${i}`)))
      expect(await where('flush'), `decision ${i}`).toBeGreaterThan(before)
    }
  })

  it('is not in doubt where the log cannot be reached any more: all are rolled back at once', async () => {
    await using world = await openWorld('apart')
    await using database = await freshDatabase()
    const { orders, payments } = world
    const pool = new pg.Pool({ connectionString: database.url })
    const log = postgres(pool)
    await migrate(log, [twoPhaseTables])
    const twoPhase = createTwoPhase(log, { participants: { orders, payments } })
    await move(twoPhase, world, 'm1')
    const armed = failpoints.arm('two-phase.deciding', 'pause', { times: 1 })
    const failed = move(twoPhase, world, 'm2').catch((error: unknown) => error)
    await armed.reached
    await pool.end()
    armed.resume()
    expect(await failed).toMatchObject({ code: 'STORE_CLOSED', outcome: 'not-applied' })
    expect(await world.audit()).toEqual(moved('m1'))
    await twoPhase.close()
  })

  it('is made in a log of its own on SQLite as well', async () => {
    await using world = await openWorld('apart')
    using folder = tempFolder('log')
    const log = sqlite({ open: () => openSqlite(folder.file('log.db')) })
    await migrate(log, [twoPhaseTables])
    const { orders, payments } = world
    const twoPhase = createTwoPhase(log, { participants: { orders, payments } })
    const ids = Array.from({ length: 20 }, (_, i) => `m${String(i).padStart(2, '0')}`)
    await Promise.all(ids.map((id) => move(twoPhase, world, id)))
    const armed = failpoints.arm('two-phase.deciding', 'pause', { times: 1 })
    const paused = move(twoPhase, world, 'late').catch((error: unknown) => error)
    await armed.reached
    await twoPhase.recover({ inDoubtMs: 0 })
    armed.resume()
    expect(await paused).toMatchObject({ code: 'TWO_PHASE_ABORTED', reason: 'recovery' })
    failpoints.arm('store.commit.after', 'throw', { times: 1 })
    await move(twoPhase, world, 'unanswered')
    expect(await world.audit()).toEqual(moved(...ids, 'unanswered'))
    await twoPhase.close()
    await log.close()
  })

  it.each(places)(
    'to commit is refused once its time has passed by the clock of the log, %s',
    async (place) => {
      await using world = await openWorld(place)
      await using twoPhase = world.coordinator()
      await twoPhase.check()
      const { clock } = world.log
      let late = 0
      const now = clock.now
      // The coordinator's clock is two hours behind from here on, as if it had been compared before it jumped.
      const spy = { ...clock, now: () => now() - 2 * 3_600_000 }
      Object.assign(world.log, { clock: spy })
      failpoints.arm('two-phase.deciding', () => void late++)
      // It notices, compares the clocks again, and succeeds.
      await move(twoPhase, world, 'a')
      expect(late).toBe(2)
      expect(await world.audit()).toEqual(moved('a'))
      Object.assign(world.log, { clock })
    },
  )
})

describe('names', () => {
  it('options and stores that cannot work are refused at once', async () => {
    await using world = await openWorld('orders')
    const { orders, payments } = world
    await using sqliteWorld = await openWorld('sqlite')
    expect(() => createTwoPhase(orders, { participants: {} })).toThrow(/at least one/)
    expect(() => createTwoPhase(orders, { participants: { 'a b': payments } })).toThrow(/letters, digits/)
    expect(() => createTwoPhase(orders, { participants: { a: payments, b: payments } })).toThrow(/two names/)
    expect(() => createTwoPhase(orders, { participants: { a: sqliteWorld.orders } })).toThrow(
      /a cannot prepare a transaction: a store of that kind can only be the log itself/,
    )
    const twoPhase = createTwoPhase(orders, { participants: { payments } })
    await expect(twoPhase([sqliteWorld.payments], async () => {})).rejects.toThrow(
      /recovery would not know it/,
    )
    expect(await twoPhase([orders], async () => 'the log needs no name')).toBe('the log needs no name')
    await expect(twoPhase([payments, payments], async () => {})).rejects.toThrow(/named twice/)
    await expect(twoPhase([], async () => {})).rejects.toThrow(/at least one store/)
  })
})

const newDecision = (id: string) => ({
  id,
  log: 'l',
  participants: [],
  decidedBy: 'me',
  notAfterMs: Date.now() + 60_000,
})
