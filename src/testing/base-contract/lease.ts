import type { Clock } from '../../core/clock.ts'
import {
  acquireLease,
  handOver,
  type Lease,
  listLeases,
  releaseLease,
  renewLeases,
} from '../../lease/index.ts'
import { sql } from '../../store/index.ts'
import type { TestKit } from '../test-kit.ts'
import { acquire, type BaseUnderTest, pass } from './scene.ts'

export function describeLease({ describe, it, expect }: TestKit, scene: BaseUnderTest): void {
  describe('lease', () => {
    it('the first to ask holds it under epoch 1, and nobody else while it runs', async () => {
      const before = scene.store.clock.monotonic()
      const lease = await acquire(scene.store, 'a')
      expect(lease).toMatchObject({ scope: 's', name: 'n', owner: 'a', epoch: 1n, ttlMs: 60_000 })
      expect(lease?.validUntilMs).toBeGreaterThan(before + 59_000)
      expect(lease?.validUntilMs).toBeLessThanOrEqual(scene.store.clock.monotonic() + 60_000)
      expect(await acquire(scene.other, 'b')).toBeUndefined()
      expect(await acquire(scene.other, 'b', 'another')).toMatchObject({ epoch: 1n })
    })

    it('the same owner asking again keeps its epoch', async () => {
      await acquire(scene.store, 'a')
      expect(await acquire(scene.store, 'a')).toMatchObject({ epoch: 1n })
    })

    it('taking over an ended lease raises the epoch, also for its own former owner', async () => {
      await acquire(scene.store, 'a')
      await pass(scene.store, 60_001)
      expect(await acquire(scene.other, 'b')).toMatchObject({ owner: 'b', epoch: 2n })
      await pass(scene.store, 60_001)
      expect(await acquire(scene.other, 'b')).toMatchObject({ owner: 'b', epoch: 3n })
    })

    it('a renewal renews all that run, keeps epochs, and revives nothing that has ended', async () => {
      await acquire(scene.store, 'a', 'ended')
      await pass(scene.store, 60_001)
      for (const name of ['x', 'y']) await acquire(scene.store, 'a', name)
      await acquire(scene.store, 'b', 'z')
      await pass(scene.store, 50_000)
      const renewed = await renewLeases(scene.store, { scope: 's', owner: 'a', ttlMs: 60_000 })
      expect(renewed.map(({ name, epoch }) => [name, epoch])).toEqual([
        ['x', 1n],
        ['y', 1n],
      ])
      const left = new Map((await listLeases(scene.other, { scope: 's' })).map((l) => [l.name, l.leftMs]))
      expect(left.get('x')).toBeGreaterThan(55_000)
      expect(left.get('z')).toBeLessThanOrEqual(10_000)
      expect(left.get('ended')).toBe(0)
    })

    it('a released lease can be taken at once, under the next epoch; a stale release does nothing', async () => {
      const first = (await acquire(scene.store, 'a')) as Lease
      expect(await releaseLease(scene.store, first)).toBe(true)
      const second = (await acquire(scene.other, 'b')) as Lease
      expect(second.epoch).toBe(2n)
      expect(await releaseLease(scene.store, first)).toBe(false)
      expect(await releaseLease(scene.store, { ...second, epoch: 1n })).toBe(false)
      expect(await acquire(scene.store, 'a')).toBeUndefined()
    })

    it('handed over, it belongs to the next owner under the next epoch, and to anyone after the grace', async () => {
      const lease = (await acquire(scene.store, 'a')) as Lease
      expect(await handOver(scene.store, lease, { to: 'heir', graceMs: 30_000 })).toBe(true)
      expect(await handOver(scene.store, lease, { to: 'c', graceMs: 30_000 })).toBe(false)
      expect(await renewLeases(scene.store, { scope: 's', owner: 'a', ttlMs: 60_000 })).toEqual([])
      expect(await acquire(scene.store, 'a')).toBeUndefined()
      expect(await acquire(scene.other, 'c')).toBeUndefined()
      expect(await acquire(scene.other, 'heir')).toMatchObject({ owner: 'heir', epoch: 2n })
      await handOver(scene.other, { ...lease, owner: 'heir', epoch: 2n }, { to: 'gone', graceMs: 1_000 })
      await pass(scene.store, 1_001)
      expect(await acquire(scene.other, 'c')).toMatchObject({ owner: 'c', epoch: 4n })
    })

    it('of two that ask at once exactly one gets it, in 100 rounds, and epochs only rise', async () => {
      let epoch = 0n
      for (let round = 1; round <= 100; round++) {
        const got = await Promise.all([acquire(scene.store, `a${round}`), acquire(scene.other, `b${round}`)])
        const won = got.filter((lease) => lease !== undefined)
        expect(won).toHaveLength(1)
        expect(won[0]?.epoch).toBe(epoch + 1n)
        epoch += 1n
        await pass(scene.store, 60_001)
      }
    })

    it('the clocks of the processes do not matter, only the one of the store', async () => {
      const skewed = (ms: number): Clock => ({
        ...scene.store.clock,
        now: () => Date.now() + ms,
        monotonic: () => performance.now() + ms,
      })
      const ahead = scene.withClock(skewed(3_600_000))
      const behind = scene.withClock(skewed(-3_600_000))
      const lease = await acquire(behind, 'a')
      expect(lease?.validUntilMs).toBeLessThan(performance.now() - 3_600_000 + 60_001)
      expect(await acquire(ahead, 'b')).toBeUndefined()
      expect(await renewLeases(behind, { scope: 's', owner: 'a', ttlMs: 60_000 })).toHaveLength(1)
      await pass(scene.store, 60_001)
      expect(await renewLeases(behind, { scope: 's', owner: 'a', ttlMs: 60_000 })).toEqual([])
      expect(await acquire(ahead, 'b')).toMatchObject({ epoch: 2n })
    })

    it('epochs go on above 2^31 and 2^53', async () => {
      for (const epoch of [2n ** 31n, 2n ** 53n, 2n ** 53n + 1n]) {
        await acquire(scene.store, 'a')
        await scene.store.execute(
          sql`update ${scene.store.table('lease')} set epoch = ${epoch}, until_ms = 0`,
        )
        expect(await acquire(scene.store, 'a')).toMatchObject({ epoch: epoch + 1n })
      }
    })

    it('names in quotes and any script are kept as they are', async () => {
      const name = `o'Brien "x" \\ ; -- ü 漢字 🦊`
      expect(
        await acquireLease(scene.store, { scope: name, name, owner: name, ttlMs: 60_000 }),
      ).toMatchObject({
        scope: name,
        name,
        owner: name,
      })
      expect(await renewLeases(scene.store, { scope: name, owner: name, ttlMs: 60_000 })).toHaveLength(1)
    })

    it('options that cannot work are refused, all problems at once', async () => {
      const bad = { scope: '', name: 'a\0b', owner: 'x', ttlMs: -1, ttl: 3 }
      const error = await acquireLease(scene.store, bad).catch((e) => e)
      expect(error).toMatchObject({ code: 'CONFIG_INVALID' })
      expect(error.problems.length).toBeGreaterThanOrEqual(4)
      expect(await listLeases(scene.store)).toEqual([])
    })
  })
}
