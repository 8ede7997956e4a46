import { type LockStrength, type OwnTransaction, type Store, sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type FreshPool, freshPool } from '../support/postgres.ts'
import { startFixture } from '../support/process.ts'
import { until } from '../support/wait.ts'

let database: FreshPool
let store: Store
beforeAll(async () => {
  database = await freshPool({ max: 20 })
  store = postgres(database.pool)
  await store.execute('create table job (id int primary key, state text not null)')
})
afterAll(() => database.drop())
beforeEach(async () => {
  await store.execute('truncate job')
  await store.execute(`insert into job select i, 'ready' from generate_series(1, 6) i`)
})

/** Starts a transaction that locks the rows and keeps them until `letGo`. */
async function hold(
  where: Parameters<OwnTransaction['lockRows']>[1],
  strength: LockStrength = 'update',
): Promise<() => Promise<void>> {
  let letGo!: () => void
  const end = new Promise<void>((resolve) => {
    letGo = resolve
  })
  let taken!: () => void
  const locked = new Promise<void>((resolve) => {
    taken = resolve
  })
  const done = store.transaction(async (tx) => {
    await tx.lockRows('job', where, { strength })
    taken()
    await end
  })
  await Promise.race([locked, done])
  return () => {
    letGo()
    return done
  }
}

const waiting = async (): Promise<number> => {
  const { rows } = await database.pool.query(
    `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  )
  return rows[0].n
}

const STRENGTHS: readonly LockStrength[] = ['update', 'no-key-update', 'share', 'key-share']
/** PostgreSQL manual, Explicit Locking, "Conflicting Row-Level Locks". */
const compatible = (held: LockStrength, wanted: LockStrength): boolean => {
  const [weaker, stronger] = [held, wanted].sort((x, y) => STRENGTHS.indexOf(y) - STRENGTHS.indexOf(x))
  if (weaker === 'key-share') return stronger !== 'update'
  return weaker === 'share' && stronger === 'share'
}

describe('row locks of PostgreSQL', () => {
  it.each(STRENGTHS.flatMap((held) => STRENGTHS.map((wanted) => [held, wanted] as const)))(
    'held for %s, wanted for %s: each way to wait',
    async (held, wanted) => {
      const letGo = await hold({ id: 1 }, held)
      const free = compatible(held, wanted)
      try {
        const nowait = store.transaction((tx) =>
          tx.lockRows('job', { id: 1 }, { strength: wanted, wait: 'nowait' }),
        )
        if (free) expect(await nowait).toHaveLength(1)
        else await expect(nowait).rejects.toMatchObject({ code: 'ROW_LOCKED' })

        const skip = await store.transaction((tx) =>
          tx.lockRows('job', { id: 1 }, { strength: wanted, wait: 'skip-locked' }),
        )
        expect(skip).toHaveLength(free ? 1 : 0)

        const bounded = store.transaction((tx) =>
          tx.lockRows('job', { id: 1 }, { strength: wanted, wait: { waitMs: 30 } }),
        )
        if (free) expect(await bounded).toHaveLength(1)
        else await expect(bounded).rejects.toMatchObject({ code: 'LOCK_TIMEOUT', waitMs: 30 })

        const block = store.transaction((tx) => tx.lockRows('job', { id: 1 }, { strength: wanted }))
        if (!free) {
          await until(async () => (await waiting()) > 0, { what: 'the blocked lock' })
          await letGo()
        }
        expect(await block).toHaveLength(1)
      } finally {
        await letGo()
      }
    },
  )

  it('one deadline bounds the whole statement, though each row would stay within it', async () => {
    const letGo = await Promise.all([1, 2, 3, 4].map((id) => hold({ id })))
    // The holders leave one after another, so that no single row is waited for longer than waitMs.
    const startMs = performance.now()
    const failed = store.transaction((tx) =>
      tx.lockRows('job', sql`id <= ${4}`, { orderBy: ['id'], wait: { waitMs: 400 } }),
    )
    const outcome = failed.then(
      () => 'locked',
      (error) => error.code,
    )
    const leaving = (async () => {
      for (const [i, leave] of letGo.entries()) {
        await until(() => performance.now() - startMs > 250 * (i + 1))
        await leave()
      }
    })()
    expect(await outcome).toBe('LOCK_TIMEOUT')
    expect(performance.now() - startMs).toBeLessThan(900)
    await leaving
  })

  it('after a bounded lock the statement timeout is what it was', async () => {
    await store.transaction(async (tx) => {
      await tx.query("set local statement_timeout = '7s'")
      await tx.lockRows('job', { id: 1 }, { wait: { waitMs: 50 } })
      expect(await tx.query('show statement_timeout')).toEqual([{ statement_timeout: '7s' }])
    })
    expect(await store.query('show statement_timeout')).toEqual([{ statement_timeout: '0' }])
  })

  it('a lock refused in a nested transaction leaves the outer one usable', async () => {
    const letGo = await hold({ id: 1 })
    await store.transaction(async (tx) => {
      const refused = tx.transaction((inner) => inner.lockRows('job', { id: 1 }, { wait: { waitMs: 20 } }))
      await expect(refused).rejects.toMatchObject({ code: 'LOCK_TIMEOUT' })
      expect(await tx.query('show statement_timeout')).toEqual([{ statement_timeout: '0' }])
      await tx.execute(`update job set state = 'done' where id = 2`)
    })
    await letGo()
    expect(await store.query(`select id from job where state = 'done'`)).toEqual([{ id: 2 }])
  })

  it('skip-locked hands each job of a queue to one worker', async () => {
    const taken: number[] = []
    const work = async (): Promise<void> => {
      for (;;) {
        const got = await store.transaction(async (tx) => {
          const [job] = await tx.lockRows<{ id: number }>(
            'job',
            { state: 'ready' },
            { wait: 'skip-locked', orderBy: ['id'], limit: 1 },
          )
          if (job === undefined) return undefined
          await tx.execute(sql`update job set state = 'done' where id = ${job.id}`)
          return job.id
        })
        if (got === undefined) return
        taken.push(got)
      }
    }
    await Promise.all([work(), work(), work()])
    expect(taken.sort()).toEqual([1, 2, 3, 4, 5, 6])
  })

  it('a throw while another statement waits gives the locks back at once', async () => {
    const letGo = await hold({ id: 1 })
    const startMs = performance.now()
    const failed = store.transaction(async (tx) => {
      await tx.lockRows('job', { id: 2 })
      const stuck = tx.lockRows('job', { id: 1 })
      await until(async () => (await waiting()) > 0)
      stuck.catch(() => {})
      throw new Error('mine')
    })
    await expect(failed).rejects.toThrow('mine')
    expect(await store.transaction((tx) => tx.lockRows('job', { id: 2 }, { wait: 'nowait' }))).toHaveLength(1)
    expect(performance.now() - startMs).toBeLessThan(3000)
    expect(await waiting()).toBe(0)
    await letGo()
  })

  it('so does a time-out while a statement of a nested transaction waits', async () => {
    const letGo = await hold({ id: 1 })
    const failed = store.transaction(
      async (tx) => {
        await tx.lockRows('job', { id: 2 })
        await tx.transaction((inner) => inner.lockRows('job', { id: 1 }))
      },
      { timeoutMs: 300 },
    )
    await expect(failed).rejects.toMatchObject({ code: 'TRANSACTION_TIMEOUT' })
    expect(await store.transaction((tx) => tx.lockRows('job', { id: 2 }, { wait: 'nowait' }))).toHaveLength(1)
    expect(await waiting()).toBe(0)
    await letGo()
  })

  it('a bounded lock bounds no statement that is sent beside it, and keeps its place', async () => {
    const order = await store.transaction(async (tx) => {
      const done: string[] = []
      await Promise.all([
        tx.lockRows('job', { id: 1 }, { wait: { waitMs: 50 } }).then(() => done.push('lock')),
        tx.query('select pg_sleep(0.3)').then(() => done.push('sleep')),
      ])
      return done
    })
    expect(order).toEqual(['lock', 'sleep'])
  })

  it('a deadlock is broken by the server and the loser runs again', async () => {
    const attempts: number[] = []
    const cross = (first: number, second: number, gate: () => Promise<void>) =>
      store.transaction(async (tx, attempt) => {
        attempts.push(attempt)
        await tx.lockRows('job', { id: first })
        if (attempt === 1) await gate()
        await tx.lockRows('job', { id: second })
      })
    let arrived = 0
    const both = async (): Promise<void> => {
      arrived++
      await until(() => arrived === 2)
    }
    await Promise.all([cross(1, 2, both), cross(2, 1, both)])
    expect(attempts.sort()).toEqual([1, 1, 2])
  })

  it('a killed process gives its lock back once the server sees it', async () => {
    const child = startFixture(new URL('./fixtures/lock-holder.ts', import.meta.url), {
      args: [database.url],
    })
    await child.line((line) => line.locked === true)
    await expect(
      store.transaction((tx) => tx.lockRows('job', { id: 1 }, { wait: 'nowait' })),
    ).rejects.toMatchObject({ code: 'ROW_LOCKED' })
    await child.kill('SIGKILL')
    expect(
      await store.transaction((tx) => tx.lockRows('job', { id: 1 }, { wait: { waitMs: 5000 } })),
    ).toHaveLength(1)
  })
})
