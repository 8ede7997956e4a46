import { effectTables, recordEffect } from 'holdfast/effects'
import {
  type HeldLease,
  type KeepLeasesOptions,
  keepLeases,
  type LeaseKeeper,
  leaseTables,
  listLeases,
} from 'holdfast/lease'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { migrate, type Store, StoreUnavailableError } from 'holdfast/store'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { freshPool } from '../support/postgres.ts'
import { startFixture } from '../support/process.ts'
import { openSqlite } from '../support/sqlite.ts'
import { until } from '../support/wait.ts'

const names = Array.from({ length: 8 }, (_, i) => `${i}`)

const openers = {
  postgres: async () => {
    const database = await freshPool()
    return { store: postgres(database.pool), address: database.url, close: () => database.drop() }
  },
  sqlite: async () => {
    const folder = tempFolder('keeper')
    const address = folder.file('db.sqlite')
    const store = sqlite({ open: () => openSqlite(address) as never })
    const close = async () => {
      await store.close()
      folder.remove()
    }
    return { store, address, close }
  },
}

describe.each(Object.keys(openers) as (keyof typeof openers)[])('a keeper of leases on %s', (name) => {
  let opened: Awaited<ReturnType<(typeof openers)['sqlite']>>
  let store: Store
  let keepers: LeaseKeeper[]
  beforeEach(async () => {
    keepers = []
    opened = await openers[name]()
    store = opened.store
    await migrate(store, [leaseTables, effectTables])
  })
  afterEach(async () => {
    await Promise.all(keepers.map((keeper) => keeper.stop()))
    await opened.close()
  })
  const keep = (options: Partial<KeepLeasesOptions> = {}, at = store): LeaseKeeper => {
    const keeper = keepLeases(at, { scope: 'zombies', names, ttlMs: 1_500, onGained: () => {}, ...options })
    keepers.push(keeper)
    return keeper
  }
  const holds = (keeper: LeaseKeeper, n: number) =>
    until(() => keeper.held.length === n, {
      what: `${keeper.owner} to hold ${n}, it holds ${keeper.held.length}`,
    })

  /** The store, in whose answers a test can meddle. */
  function meddled(): { through: Store; state: { cut: boolean; hold: Promise<void> | undefined } } {
    const state: { cut: boolean; hold: Promise<void> | undefined } = { cut: false, hold: undefined }
    const transaction: Store['transaction'] = async (work, options) => {
      if (state.cut) throw new StoreUnavailableError('cut off', 'not-applied')
      const { hold } = state
      const answer = await store.transaction(work, options)
      await hold
      return answer
    }
    return { through: { ...store, transaction }, state }
  }

  it('renews while every other transaction of the process waits for one that takes long', async () => {
    const lost: string[] = []
    const keeper = keep({ onLost: (held) => void lost.push(held.name) })
    await holds(keeper, 8)
    let open = (): void => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    // SQLite has one writer at a time, so there they can only queue behind each other.
    const wait = name === 'postgres' ? () => gate : async () => {}
    const others = Array.from({ length: 40 }, () =>
      store.transaction(async (tx) => {
        await tx.query('select 1')
        await wait()
      }),
    )
    const [first] = keeper.held
    const usableUntilMs = first?.usableUntilMs ?? 0
    await until(() => lost.length > 0 || (first?.usableUntilMs ?? 0) > usableUntilMs + 1_500, {
      what: 'the leases to be renewed past their first end',
    })
    open()
    await Promise.all(others)
    expect(lost).toEqual([])
  })

  it('members share fairly as they come and go, and no name is held twice', async () => {
    const holders = new Map<string, string>()
    const twice: string[] = []
    const watch = (who: string): Partial<KeepLeasesOptions> => ({
      onGained: (held) => {
        if (holders.has(held.name)) twice.push(`${held.name} by ${holders.get(held.name)} and ${who}`)
        holders.set(held.name, who)
      },
      onLost: (held) => void holders.delete(held.name),
    })
    const a = keep(watch('a'))
    await holds(a, 8)
    const b = keep(watch('b'))
    await Promise.all([holds(a, 4), holds(b, 4)])
    const c = keep(watch('c'))
    await until(
      () =>
        [a, b, c]
          .map((k) => k.held.length)
          .sort()
          .join() === '2,3,3',
    )
    const leftAtMs = performance.now()
    await b.stop()
    await Promise.all([holds(a, 4), holds(c, 4)])
    expect(performance.now() - leftAtMs).toBeLessThan(1_500) // sooner than by waiting for a lease to end
    expect(twice).toEqual([])
    const running = (await listLeases(store, { scope: 'zombies' })).filter((lease) => lease.running)
    expect(new Set(running.map((lease) => lease.owner))).toEqual(new Set([a.owner, c.owner]))
  })

  it("a killed member's share is taken within the lease and one look, under higher epochs", async () => {
    const child = startFixture<{ gained?: string; epoch: number }>(
      new URL('./fixtures/holder.ts', import.meta.url),
      {
        args: [opened.address, '1500', ...names],
      },
    )
    await until(() => child.lines.filter((line) => line.gained !== undefined).length === 8)
    const gained: HeldLease[] = []
    const keeper = keep({ onGained: (held) => void gained.push(held) })
    await holds(keeper, 4)
    await child.kill()
    const killedAtMs = performance.now()
    await holds(keeper, 8)
    expect(performance.now() - killedAtMs).toBeLessThan(1_500 + 500 + 1_000)
    for (const held of gained) expect(held.epoch).toBe(2n)
  })

  it('gives up a surplus only after it was drained, and renews it meanwhile', async () => {
    let finish = (): void => {}
    const done = new Promise<void>((resolve) => {
      finish = resolve
    })
    const draining: HeldLease[] = []
    const a = keep({
      drainMs: 20_000,
      onDrain: (held) => {
        draining.push(held)
        return done
      },
    })
    await holds(a, 8)
    const b = keep()
    await until(() => draining.length === 4)
    const startMs = performance.now()
    await until(() => performance.now() - startMs > 2_000) // longer than the lease
    for (const held of draining) {
      expect(held.isHeld()).toBe(true)
      const work = store.transaction((tx) => recordEffect(tx, { scope: 'e', id: held.name, lease: held }))
      expect(await work).toEqual({ kind: 'first' })
    }
    expect(b.held).toEqual([])
    finish()
    await holds(b, 4)
    for (const held of draining) {
      expect(held.signal.reason).toMatchObject({ code: 'LEASE_LOST', leaseName: held.name })
      const late = store.transaction((tx) =>
        recordEffect(tx, { scope: 'e', id: `late${held.name}`, lease: held }),
      )
      await expect(late).rejects.toMatchObject({ code: 'STALE_EPOCH' })
    }
  })

  it('a drain that does not end is bounded', async () => {
    const a = keep({ drainMs: 50, onDrain: () => new Promise(() => {}) })
    await holds(a, 8)
    const b = keep()
    await holds(b, 4)
    const startMs = performance.now()
    await a.stop({ drainMs: 100 })
    expect(performance.now() - startMs).toBeLessThan(1_500)
    await a.done
  })

  it('cut off from the store, its signals fire while the leases still run there', async () => {
    const { through, state } = meddled()
    const lost: HeldLease[] = []
    // A tenth of the lease is what is left to look, however busy the machine is.
    const a = keep({ onLost: (held) => void lost.push(held), ttlMs: 6_000 }, through)
    await holds(a, 8)
    state.cut = true
    await until(() => lost.length === 8)
    expect((await listLeases(store, { scope: 'zombies' })).every((lease) => lease.running)).toBe(true)
    expect(a.held).toEqual([])
    const firstEpochs = lost.map((held) => held.epoch)
    expect(new Set(firstEpochs)).toEqual(new Set([1n]))
    state.cut = false
    await holds(a, 8)
    expect(new Set(a.held.map((held) => held.epoch))).toEqual(new Set([2n]))
  })

  it('a renewal whose answer comes after the deadline is not relied on', async () => {
    const { through, state } = meddled()
    let release = (): void => {}
    const lost: HeldLease[] = []
    const a = keep({ onLost: (held) => void lost.push(held) }, through)
    await holds(a, 8)
    state.hold = new Promise<void>((resolve) => {
      release = resolve
    })
    await until(() => lost.length === 8, { what: 'the deadline' })
    state.hold = undefined
    release()
    await holds(a, 8)
    expect(new Set(a.held.map((held) => held.epoch))).toEqual(new Set([2n]))
  })

  it('without sharing, the first takes all and keeps all', async () => {
    const a = keep({ share: false })
    await holds(a, 8)
    const b = keep({ share: false })
    await a.stop()
    await holds(b, 8)
  })

  it('its signal stops it, and what it held is free at once', async () => {
    const stop = new AbortController()
    const a = keep({ signal: stop.signal })
    await holds(a, 8)
    stop.abort()
    await a.done
    expect((await listLeases(store)).filter((lease) => lease.running)).toEqual([])
    await a.stop()
  })

  it('stopped before it could begin, it holds nothing', async () => {
    const a = keep({ signal: AbortSignal.abort() })
    await a.done
    expect((await listLeases(store)).filter((lease) => lease.running)).toEqual([])
  })

  it('a callback that throws is logged and harms nothing', async () => {
    const errors: string[] = []
    const log = { debug() {}, info() {}, warn() {}, error: (message: string) => void errors.push(message) }
    const a = keep({
      log,
      onGained: () => {
        throw new Error('mine')
      },
      onDrain: () => Promise.reject(new Error('mine')),
    })
    await holds(a, 8)
    await a.stop()
    expect(errors.filter((message) => message === 'onGained failed')).toHaveLength(8)
    expect(errors.filter((message) => message === 'onDrain failed')).toHaveLength(8)
  })
})

it('without tables it ends with an error that says what to run', async () => {
  const { store, close } = await openers.sqlite()
  const keeper = keepLeases(store, { scope: 's', names: ['n'], onGained: () => {} })
  await expect(keeper.done).rejects.toMatchObject({ code: 'SCHEMA_REVISION' })
  await keeper.stop()
  await close()
})
