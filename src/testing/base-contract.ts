/** What leases, effects and fences promise on every store, written once. Long because it is a contract. */
import type { Clock } from '../core/clock.ts'
import {
  effectTables,
  once,
  pruneEffects,
  recordEffect,
  recordEffects,
  storeEffectResult,
} from '../effects/index.ts'
import { fence, fenceTables } from '../fence/index.ts'
import {
  acquireLease,
  handOver,
  type Lease,
  leaseTables,
  listLeases,
  releaseLease,
  renewLeases,
} from '../lease/index.ts'
import { migrate, type OwnTransaction, type Store, sql } from '../store/index.ts'
import type { TestKit } from './test-kit.ts'

export interface BaseUnderTest {
  readonly store: Store
  /** A second store on the same database, with connections of its own. */
  readonly other: Store
  /** One more, whose process has this clock. */
  withClock(clock: Clock): Store
  close(): Promise<void>
}

/** Registers the tests of lease, effects and fence. `open` gives an empty database; each test closes what it opened. */
export function describeBaseContract(kit: TestKit, name: string, open: () => Promise<BaseUnderTest>): void {
  const { describe, it, expect, beforeEach, afterEach } = kit

  describe(`base contract: ${name}`, () => {
    let opened: BaseUnderTest
    let store: Store
    let other: Store
    beforeEach(async () => {
      opened = await open()
      ;({ store, other } = opened)
      await migrate(store, [leaseTables, effectTables, fenceTables])
    })
    afterEach(() => opened.close())

    const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
      promise.then(
        () => 'fulfilled',
        (error) => error.code ?? error,
      )
    const acquire = (at: Store, owner: string, name = 'n', ttlMs = 60_000): Promise<Lease | undefined> =>
      acquireLease(at, { scope: 's', name, owner, ttlMs })
    /** Sets the end of every lease as if `ms` had passed on the store's clock. */
    const pass = (ms: number): Promise<number> =>
      store.execute(sql`update ${store.table('lease')} set until_ms = until_ms - ${ms}`)

    describe('lease', () => {
      it('the first to ask holds it under epoch 1, and nobody else while it runs', async () => {
        const before = store.clock.monotonic()
        const lease = await acquire(store, 'a')
        expect(lease).toMatchObject({ scope: 's', name: 'n', owner: 'a', epoch: 1n, ttlMs: 60_000 })
        expect(lease?.validUntilMs).toBeGreaterThan(before + 59_000)
        expect(lease?.validUntilMs).toBeLessThanOrEqual(store.clock.monotonic() + 60_000)
        expect(await acquire(other, 'b')).toBeUndefined()
        expect(await acquire(other, 'b', 'another')).toMatchObject({ epoch: 1n })
      })

      it('the same owner asking again keeps its epoch', async () => {
        await acquire(store, 'a')
        expect(await acquire(store, 'a')).toMatchObject({ epoch: 1n })
      })

      it('taking over an ended lease raises the epoch, also for its own former owner', async () => {
        await acquire(store, 'a')
        await pass(60_001)
        expect(await acquire(other, 'b')).toMatchObject({ owner: 'b', epoch: 2n })
        await pass(60_001)
        expect(await acquire(other, 'b')).toMatchObject({ owner: 'b', epoch: 3n })
      })

      it('a renewal renews all that run, keeps epochs, and revives nothing that has ended', async () => {
        await acquire(store, 'a', 'ended')
        await pass(60_001)
        for (const name of ['x', 'y']) await acquire(store, 'a', name)
        await acquire(store, 'b', 'z')
        await pass(50_000)
        const renewed = await renewLeases(store, { scope: 's', owner: 'a', ttlMs: 60_000 })
        expect(renewed.map(({ name, epoch }) => [name, epoch])).toEqual([
          ['x', 1n],
          ['y', 1n],
        ])
        const left = new Map((await listLeases(other, { scope: 's' })).map((l) => [l.name, l.leftMs]))
        expect(left.get('x')).toBeGreaterThan(55_000)
        expect(left.get('z')).toBeLessThanOrEqual(10_000)
        expect(left.get('ended')).toBe(0)
      })

      it('a released lease can be taken at once, under the next epoch; a stale release does nothing', async () => {
        const first = (await acquire(store, 'a')) as Lease
        expect(await releaseLease(store, first)).toBe(true)
        const second = (await acquire(other, 'b')) as Lease
        expect(second.epoch).toBe(2n)
        expect(await releaseLease(store, first)).toBe(false)
        expect(await releaseLease(store, { ...second, epoch: 1n })).toBe(false)
        expect(await acquire(store, 'a')).toBeUndefined()
      })

      it('handed over, it belongs to the next owner under the next epoch, and to anyone after the grace', async () => {
        const lease = (await acquire(store, 'a')) as Lease
        expect(await handOver(store, lease, { to: 'heir', graceMs: 30_000 })).toBe(true)
        expect(await handOver(store, lease, { to: 'c', graceMs: 30_000 })).toBe(false)
        expect(await renewLeases(store, { scope: 's', owner: 'a', ttlMs: 60_000 })).toEqual([])
        expect(await acquire(store, 'a')).toBeUndefined()
        expect(await acquire(other, 'c')).toBeUndefined()
        expect(await acquire(other, 'heir')).toMatchObject({ owner: 'heir', epoch: 2n })
        await handOver(other, { ...lease, owner: 'heir', epoch: 2n }, { to: 'gone', graceMs: 1_000 })
        await pass(1_001)
        expect(await acquire(other, 'c')).toMatchObject({ owner: 'c', epoch: 4n })
      })

      it('of two that ask at once exactly one gets it, in 100 rounds, and epochs only rise', async () => {
        let epoch = 0n
        for (let round = 1; round <= 100; round++) {
          const got = await Promise.all([acquire(store, `a${round}`), acquire(other, `b${round}`)])
          const won = got.filter((lease) => lease !== undefined)
          expect(won).toHaveLength(1)
          expect(won[0]?.epoch).toBe(epoch + 1n)
          epoch += 1n
          await pass(60_001)
        }
      })

      it('the clocks of the processes do not matter, only the one of the store', async () => {
        const skewed = (ms: number): Clock => ({
          ...store.clock,
          now: () => Date.now() + ms,
          monotonic: () => performance.now() + ms,
        })
        const ahead = opened.withClock(skewed(3_600_000))
        const behind = opened.withClock(skewed(-3_600_000))
        const lease = await acquire(behind, 'a')
        expect(lease?.validUntilMs).toBeLessThan(performance.now() - 3_600_000 + 60_001)
        expect(await acquire(ahead, 'b')).toBeUndefined()
        expect(await renewLeases(behind, { scope: 's', owner: 'a', ttlMs: 60_000 })).toHaveLength(1)
        await pass(60_001)
        expect(await renewLeases(behind, { scope: 's', owner: 'a', ttlMs: 60_000 })).toEqual([])
        expect(await acquire(ahead, 'b')).toMatchObject({ epoch: 2n })
      })

      it('epochs go on above 2^31 and 2^53', async () => {
        for (const epoch of [2n ** 31n, 2n ** 53n, 2n ** 53n + 1n]) {
          await acquire(store, 'a')
          await store.execute(sql`update ${store.table('lease')} set epoch = ${epoch}, until_ms = 0`)
          expect(await acquire(store, 'a')).toMatchObject({ epoch: epoch + 1n })
        }
      })

      it('names in quotes and any script are kept as they are', async () => {
        const name = `o'Brien "x" \\ ; -- ü 漢字 🦊`
        expect(await acquireLease(store, { scope: name, name, owner: name, ttlMs: 60_000 })).toMatchObject({
          scope: name,
          name,
          owner: name,
        })
        expect(await renewLeases(store, { scope: name, owner: name, ttlMs: 60_000 })).toHaveLength(1)
      })

      it('options that cannot work are refused, all problems at once', async () => {
        const bad = { scope: '', name: 'a\0b', owner: 'x', ttlMs: -1, ttl: 3 }
        const error = await acquireLease(store, bad).catch((e) => e)
        expect(error).toMatchObject({ code: 'CONFIG_INVALID' })
        expect(error.problems.length).toBeGreaterThanOrEqual(4)
        expect(await listLeases(store)).toEqual([])
      })
    })

    describe('effects', () => {
      const key = { scope: 'inbox/pay', id: 'm1' }
      const record = (at: Store, options: Parameters<typeof recordEffect>[1]) =>
        at.transaction((tx) => recordEffect(tx, options))
      const stored = async (): Promise<string[]> =>
        (await other.query<{ id: string }>(sql`select id from ${store.table('effect')} order by id`)).map(
          (row) => row.id,
        )

      it('the first time is the first, later ones are told what was stored', async () => {
        await store.transaction(async (tx) => {
          expect(await recordEffect(tx, key)).toEqual({ kind: 'first' })
          await storeEffectResult(tx, key, '{"a":1}')
        })
        expect(await record(other, key)).toEqual({ kind: 'repeated', result: '{"a":1}', epoch: 0n })
        expect(await record(other, { ...key, phase: 'undo' })).toEqual({ kind: 'first' })
        expect(await record(other, { ...key, scope: 'inbox/ship' })).toEqual({ kind: 'first' })
      })

      it('within one transaction the second time is a repetition too', async () => {
        await store.transaction(async (tx) => {
          await recordEffect(tx, key)
          expect(await recordEffect(tx, key)).toMatchObject({ kind: 'repeated' })
        })
      })

      it('a rollback makes it free again', async () => {
        const failed = store.transaction(async (tx) => {
          await recordEffect(tx, key)
          throw new Error('undo')
        })
        await failed.catch(() => {})
        expect(await record(other, key)).toEqual({ kind: 'first' })
      })

      it('of many that record it at once exactly one is the first, in 40 rounds', async () => {
        for (let round = 1; round <= 40; round++) {
          const answers = await Promise.all(
            [store, other, store, other].map((at) => record(at, { ...key, id: `r${round}` })),
          )
          expect(answers.filter((answer) => answer.kind === 'first')).toHaveLength(1)
        }
      })

      it('a batch says which were the first, and gives what is stored for the others', async () => {
        await store.transaction(async (tx) => {
          await recordEffect(tx, { ...key, id: 'b' })
          await storeEffectResult(tx, { ...key, id: 'b' }, '7')
        })
        const batch = await store.transaction((tx) =>
          recordEffects(tx, { scope: key.scope, ids: ['c', 'b', 'a'] }),
        )
        expect([...batch.first].sort()).toEqual(['a', 'c'])
        expect([...batch.repeated]).toEqual([['b', { result: '7', epoch: 0n }]])
        expect(
          await store.transaction((tx) => recordEffects(tx, { scope: key.scope, ids: [] })),
        ).toMatchObject({ first: new Set() })
        const twice = store.transaction((tx) => recordEffects(tx, { scope: key.scope, ids: ['d', 'd'] }))
        expect(await codeOf(twice)).toBe('CONFIG_INVALID')
      })

      it('batches that overlap in opposite orders neither deadlock nor both win', async () => {
        for (let round = 1; round <= 20; round++) {
          const ids = Array.from({ length: 8 }, (_, i) => `${round}-${i}`)
          const run = (at: Store, list: string[]) =>
            at.transaction((tx) => recordEffects(tx, { scope: 'batch', ids: list }), { retries: 0 })
          const [one, two] = await Promise.all([run(store, ids), run(other, [...ids].reverse())])
          expect(one.first.size + two.first.size).toBe(8)
        }
      })

      it('under a lease it is recorded while the lease has that epoch, ended or not', async () => {
        const lease = (await acquire(store, 'a')) as Lease
        expect(await record(store, { ...key, lease })).toEqual({ kind: 'first' })
        expect(await record(other, { ...key, lease })).toEqual({ kind: 'repeated', result: null, epoch: 1n })
        await pass(60_001)
        expect(await record(store, { ...key, id: 'm2', lease })).toEqual({ kind: 'first' })
      })

      it('after a take-over the old epoch is refused, and nothing is stored', async () => {
        const lease = (await acquire(store, 'a')) as Lease
        await record(store, { ...key, id: 'done', lease })
        await pass(60_001)
        const next = (await acquire(other, 'b')) as Lease
        for (const id of ['done', 'new']) {
          const error = await record(store, { ...key, id, lease }).catch((e) => e)
          expect(error).toMatchObject({
            code: 'STALE_EPOCH',
            outcome: 'not-applied',
            presented: 1n,
            current: 2n,
          })
        }
        const batch = (ids: string[]) =>
          store.transaction((tx) => recordEffects(tx, { scope: key.scope, ids, lease }))
        expect(await codeOf(batch(['new', 'newer']))).toBe('STALE_EPOCH')
        expect(await codeOf(batch(['done']))).toBe('STALE_EPOCH')
        expect(await stored()).toEqual(['done'])
        expect(await record(other, { ...key, id: 'done', lease: next })).toMatchObject({ kind: 'repeated' })
        expect(await record(other, { ...key, id: 'new', lease: next })).toEqual({ kind: 'first' })
      })

      it('a lease that does not exist is refused', async () => {
        const error = await record(store, { ...key, lease: { scope: 's', name: 'none', epoch: 1n } }).catch(
          (e) => e,
        )
        expect(error).toMatchObject({ code: 'STALE_EPOCH', current: undefined })
        expect(await stored()).toEqual([])
      })

      it('a take-over waits for a transaction that recorded an effect, and renewals do not', async () => {
        const lease = (await acquire(store, 'a')) as Lease
        let takeOver: Promise<Lease | undefined> | undefined
        const order: string[] = []
        await store.transaction(async (tx) => {
          await recordEffect(tx, { ...key, lease })
          if (!store.dialect.singleWriter) {
            expect(await renewLeases(other, { scope: 's', owner: 'a', ttlMs: 60_000 })).toHaveLength(1)
            await other.execute(sql`update ${store.table('lease')} set until_ms = 1`)
          } else {
            await tx.execute(sql`update ${store.table('lease')} set until_ms = 1`)
          }
          takeOver = acquire(other, 'b').finally(() => order.push('taken over'))
          await store.clock.sleep(100) // long enough for a take-over that does not wait
          order.push('committing')
        })
        expect(await takeOver).toMatchObject({ owner: 'b', epoch: 2n })
        expect(order).toEqual(['committing', 'taken over'])
      })

      it('an attempt with an older epoch than the recorded one is refused', async () => {
        await record(store, { ...key, epoch: 2n ** 53n + 1n })
        expect(await codeOf(record(other, { ...key, epoch: 2n ** 53n }))).toBe('STALE_EPOCH')
        expect(await record(other, { ...key, epoch: 2n ** 53n + 1n })).toMatchObject({
          kind: 'repeated',
          epoch: 2n ** 53n + 1n,
        })
        expect(await record(other, { ...key, epoch: 2n ** 62n })).toMatchObject({ kind: 'repeated' })
      })

      it('once runs the work one time and gives its result every time', async () => {
        let runs = 0
        const pay = (tx: OwnTransaction) =>
          once(tx, key, async () => ({ paid: ++runs, at: new Date(0), note: undefined }))
        const first = await store.transaction(pay)
        const second = await other.transaction(pay)
        expect(first).toEqual({ kind: 'first', result: { paid: 1, at: '1970-01-01T00:00:00.000Z' } })
        expect(second).toEqual({ ...first, kind: 'repeated' })
        const nothing = (tx: OwnTransaction) => once(tx, { ...key, id: 'void' }, async () => {})
        expect(await store.transaction(nothing)).toEqual({ kind: 'first', result: null })
        expect(await store.transaction(nothing)).toEqual({ kind: 'repeated', result: null })
      })

      it('once, failed and caught, leaves no effect to be committed', async () => {
        await store.transaction(async (tx) => {
          const failed = once(tx, key, () => Promise.reject(new Error('no money')))
          await failed.catch(() => {})
        })
        const unfit = store.transaction((tx) => once(tx, { ...key, id: 'unfit' }, async () => 1n))
        expect(await codeOf(unfit)).toBe('PAYLOAD_INVALID')
        expect(await stored()).toEqual([])
      })

      it('a result without an effect is refused', async () => {
        expect(await codeOf(store.transaction((tx) => storeEffectResult(tx, key, '1')))).toBe(
          'CONFIG_INVALID',
        )
      })

      it('pruning removes what is older than the window, in batches, and nothing else', async () => {
        const ids = Array.from({ length: 25 }, (_, i) => `old${i}`)
        await store.transaction((tx) => recordEffects(tx, { scope: key.scope, ids }))
        await store.execute(sql`update ${store.table('effect')} set recorded_at_ms = recorded_at_ms - 5000`)
        await record(store, { ...key, id: 'young' })
        await record(store, { scope: 'else', id: 'old' })
        const prune = (batchesMax: number) =>
          pruneEffects(other, { scope: key.scope, olderThanMs: 4_000, limit: 10, batchesMax })
        expect(await prune(1)).toBe(10)
        expect(await prune(10)).toBe(15)
        expect(await stored()).toEqual(['old', 'young'])
      })
    })

    describe('fence', () => {
      const present = (at: Store, token: bigint, holder = 'a', resource = 'account/1') =>
        at.transaction((tx) => fence(tx, { resource, token, holder }))

      it('accepts tokens that do not decrease, and refuses lower ones', async () => {
        await present(store, 5n)
        await present(store, 5n)
        await present(other, 7n, 'b')
        const error = await present(store, 6n).catch((e) => e)
        expect(error).toMatchObject({
          code: 'STALE_FENCE',
          outcome: 'not-applied',
          resource: 'account/1',
          presented: 6n,
          current: 7n,
        })
        await present(store, 1n, 'a', 'account/2')
      })

      it('refuses an equal token from another holder', async () => {
        await present(store, 5n, 'a')
        expect(await codeOf(present(other, 5n, 'b'))).toBe('STALE_FENCE')
        await present(store, 5n, 'a')
      })

      it('a token that was presented and rolled back binds nobody', async () => {
        const failed = store.transaction(async (tx) => {
          await fence(tx, { resource: 'account/1', token: 9n, holder: 'a' })
          throw new Error('undo')
        })
        await failed.catch(() => {})
        await present(other, 3n, 'b')
      })

      it('tells neighbours above 2^53 apart', async () => {
        await present(store, 2n ** 53n + 1n)
        expect(await codeOf(present(store, 2n ** 53n))).toBe('STALE_FENCE')
        await present(store, 2n ** 63n - 1n)
        expect(await codeOf(present(store, 2n ** 63n))).toBe('CONFIG_INVALID')
        expect(await codeOf(present(store, -1n))).toBe('CONFIG_INVALID')
      })

      it('stays locked until COMMIT: a zombie cannot commit beside its successor', async () => {
        await present(store, 1n)
        let stale: Promise<unknown> | undefined
        const order: string[] = []
        await store.transaction(async (tx) => {
          await fence(tx, { resource: 'account/1', token: 2n, holder: 'b' })
          stale = codeOf(present(other, 1n)).finally(() => order.push('refused'))
          await store.clock.sleep(100) // long enough for one that does not wait
          order.push('committing')
        })
        expect(await stale).toBe('STALE_FENCE')
        expect(order).toEqual(['committing', 'refused'])
      })

      it('in a race the accepted tokens never decrease', async () => {
        await store.execute('create table accepted (seq integer primary key, token bigint not null)')
        let seq = 0
        const write = (at: Store, token: bigint) =>
          at.transaction(async (tx) => {
            await fence(tx, { resource: 'account/1', token, holder: `h${token}` })
            await tx.execute(sql`insert into accepted (seq, token) values (${++seq}, ${token})`)
          })
        const tokens = Array.from({ length: 40 }, (_, i) => BigInt((i * 17) % 40))
        await Promise.allSettled(tokens.map((token, i) => write(i % 2 ? store : other, token)))
        const rows = await store.query<{ token: unknown }>('select token from accepted order by seq')
        const accepted = rows.map((row) => Number(row.token))
        expect(accepted).toEqual([...accepted].sort((a, b) => a - b))
        expect(accepted.at(-1)).toBe(39)
      })
    })
  })
}
