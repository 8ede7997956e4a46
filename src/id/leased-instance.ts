import { type Log, silentLog } from '../core/log.ts'
import { checkOptions, isCount, isDuration, isName, optionsOf } from '../core/options.ts'
import { acquireLease, type HeldLease, keepLeases, listLeases, uniqueOwner } from '../lease/index.ts'
import { isStore } from '../store/arguments.ts'
import type { Store } from '../store/store.ts'
import { IdInUseError } from './errors.ts'
import { INSTANCE_MAX } from './layout.ts'

/** An instance number that is held for as long as its lease runs. */
export interface HeldInstance {
  readonly instance: number
  /** Fires before another machine can have the number. */
  readonly signal: AbortSignal
  /** Looks at the clock, also when no timer has fired yet. */
  isHeld(): boolean
  release(): Promise<void>
}

/** Where a generator gets its instance number when it starts. */
export interface InstanceSource {
  acquire(): Promise<HeldInstance>
}

export interface LeasedInstanceOptions {
  /** Default `ids`. Generators of one scope have numbers that differ. */
  readonly scope?: string
  /** Numbers 0 to `count - 1` are given out. Default 1 024. */
  readonly count?: number
  /** A killed machine's number is free again after this. Default 30 000. */
  readonly ttlMs?: number
  readonly log?: Log
}

/**
 * An instance number of its own for each machine, leased in the store and renewed. When the lease is lost, the generator
 * stops. It goes with a counter that all machines share (`storeCounter`, `redisCounter`, `etcdCounter`), since the next
 * holder of a number has to go on where the former one was.
 * @throws ConfigError
 */
export function leasedInstance(store: Store, options: LeasedInstanceOptions = {}): InstanceSource {
  const {
    scope = 'ids',
    count = 1024,
    ttlMs = 30_000,
    log = silentLog,
  } = optionsOf('leasedInstance', options)
  checkOptions(
    'leasedInstance',
    options,
    ['scope', 'count', 'ttlMs', 'log'],
    [
      isStore(store),
      isName('scope', scope, 150),
      isCount('count', count, 1, INSTANCE_MAX + 1),
      isDuration('ttlMs', ttlMs),
    ],
  )
  const leaseScope = `id/${scope}`
  return {
    async acquire() {
      const owner = uniqueOwner()
      const instance = await findFree(store, { scope: leaseScope, owner, count, ttlMs })
      return hold(store, { scope: leaseScope, owner, instance, ttlMs, log })
    },
  }
}

/** From a random number on, so that many that start at once do not all try the same one. */
async function findFree(
  store: Store,
  { scope, owner, count, ttlMs }: { scope: string; owner: string; count: number; ttlMs: number },
): Promise<number> {
  const taken = new Set((await listLeases(store, { scope })).filter((l) => l.running).map((l) => l.name))
  const start = Math.floor(store.clock.random() * count)
  for (let i = 0; i < count; i++) {
    const instance = (start + i) % count
    if (taken.has(String(instance))) continue
    const lease = await acquireLease(store, { scope, name: String(instance), owner, ttlMs })
    if (lease !== undefined) return instance
  }
  throw new IdInUseError(`all ${count} instance numbers of ${scope} are held; raise count, or wait for one`)
}

/** Hands the lease on to a keeper, which finds it as its owner's own and renews it. */
async function hold(
  store: Store,
  given: { scope: string; owner: string; instance: number; ttlMs: number; log: Log },
): Promise<HeldInstance> {
  const { scope, owner, instance, ttlMs, log } = given
  let gained: (held: HeldLease) => void = () => {}
  const first = new Promise<HeldLease>((resolve) => {
    gained = resolve
  })
  const keeper = keepLeases(store, {
    scope,
    owner,
    names: [String(instance)],
    share: false,
    ttlMs,
    log,
    onGained: (held) => gained(held),
  })
  const late = new AbortController()
  try {
    const held = await Promise.race([
      first,
      keeper.done.then(() => undefined),
      store.clock.sleep(ttlMs, late.signal).then(() => undefined),
    ])
    if (held === undefined)
      throw new IdInUseError(`instance ${instance} of ${scope} could not be held within ${ttlMs} ms`)
    return { instance, signal: held.signal, isHeld: () => held.isHeld(), release: () => keeper.stop() }
  } catch (error) {
    await keeper.stop()
    throw error
  } finally {
    late.abort()
  }
}
