import { effectTables, recordEffect } from 'holdfast/effects'
import { acquireLease, leaseTables, releaseLease, renewLeases } from 'holdfast/lease'
import { postgres } from 'holdfast/postgres'
import { type Isolation, migrate, type Store } from 'holdfast/store'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FreshPool, freshPool } from '../support/postgres.ts'
import { until } from '../support/wait.ts'

/** The places where a lock that lets renewals pass could let a take-over pass too. */
describe('effects under a lease on PostgreSQL', () => {
  let database: FreshPool
  let store: Store
  beforeEach(async () => {
    database = await freshPool()
    store = postgres(database.pool)
    await migrate(store, [leaseTables, effectTables])
  })
  afterEach(() => database.drop())

  const acquire = async (owner: string) => {
    const lease = await acquireLease(store, { scope: 's', name: 'n', owner, ttlMs: 60_000 })
    if (lease === undefined) throw new Error('not acquired')
    return lease
  }
  const effects = async () => (await store.query('select id from holdfast_effect')).length

  const levels: Isolation[] = ['read-committed', 'repeatable-read', 'serializable']
  for (const isolation of levels) {
    for (const renewals of [0, 1, 3]) {
      it(`${isolation}: a snapshot from before the take-over, ${renewals} renewals between, records nothing`, async () => {
        const lease = await acquire('a')
        let attempts = 0
        const failed = store.transaction(
          async (tx, attempt) => {
            attempts = attempt
            await tx.query('select count(*) from holdfast_lease') // takes the snapshot
            if (attempt === 1) {
              for (let i = 0; i < renewals; i++)
                await renewLeases(store, { scope: 's', owner: 'a', ttlMs: 60_000 })
              await releaseLease(store, lease)
              await acquire('b')
            }
            return await recordEffect(tx, { scope: 'e', id: '1', lease })
          },
          { isolation },
        )
        await expect(failed).rejects.toMatchObject({ code: 'STALE_EPOCH', presented: 1n, current: 2n })
        expect(attempts).toBe(isolation === 'read-committed' ? 1 : 2)
        expect(await effects()).toBe(0)
      })
    }

    it(`${isolation}: renewals since the snapshot are no reason to fail`, async () => {
      const lease = await acquire('a')
      let attempts = 0
      const recorded = await store.transaction(
        async (tx, attempt) => {
          attempts = attempt
          await tx.query('select count(*) from holdfast_lease')
          await renewLeases(store, { scope: 's', owner: 'a', ttlMs: 60_000 })
          await renewLeases(store, { scope: 's', owner: 'a', ttlMs: 60_000 })
          return await recordEffect(tx, { scope: 'e', id: '1', lease })
        },
        { isolation },
      )
      expect(recorded).toEqual({ kind: 'first' })
      expect(attempts).toBe(1)
    })

    it(`${isolation}: while a take-over is under way, an effect of the old epoch waits and is refused`, async () => {
      const lease = await acquire('a')
      await releaseLease(store, lease)
      const taker = await database.pool.connect()
      try {
        await taker.query('begin')
        await taker.query('select 1 from holdfast_lease for update')
        await taker.query('update holdfast_lease set epoch = epoch + 1')
        const late = store
          .transaction((tx) => recordEffect(tx, { scope: 'e', id: '1', lease }), { isolation })
          .catch((error) => error.code)
        await until(
          async () =>
            (
              await database.pool.query(
                "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like 'insert into%effect%'",
              )
            ).rowCount,
          { what: 'the effect to wait for the lease row' },
        )
        await taker.query('commit')
        expect(await late).toBe('STALE_EPOCH')
        expect(await effects()).toBe(0)
      } finally {
        taker.release()
      }
    })
  }

  it('the check costs no round trip: BEGIN, one statement, COMMIT', async () => {
    const lease = await acquire('a')
    const texts: string[] = []
    const client = await database.pool.connect()
    const query = client.query.bind(client)
    // biome-ignore lint/suspicious/noExplicitAny: pg's overloads
    client.query = ((config: any, ...rest: any[]) => {
      texts.push(typeof config === 'string' ? config : config.text)
      return query(config, ...rest)
      // biome-ignore lint/suspicious/noExplicitAny: see above
    }) as any
    await client.query('begin')
    texts.length = 0
    await store.join(client, (tx) => recordEffect(tx, { scope: 'e', id: '1', lease }))
    await query('commit')
    client.release()
    expect(texts).toHaveLength(1)
    expect(texts[0]).toMatch(/insert into.*for key share.*on conflict do nothing/s)
  })
})
