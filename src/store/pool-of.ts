import type { Store } from './store.ts'

/** The driver's pool under a store, or what opens its SQLite file, for the explorer of `holdfast/race`, which intercepts at the driver. */
export const poolOfStore: WeakMap<Store, unknown> = new WeakMap()
