import type { Race } from '../../race/index.ts'
import { poolOfStore } from '../../store/pool-of.ts'
import type { Store } from '../../store/store.ts'

interface RaceClient {
  readonly port?: unknown
  emit(event: string | symbol, ...args: unknown[]): boolean
  end(): Promise<void>
}

/** The part of pg's Pool that the command calls. */
export interface RacePool {
  readonly options: Readonly<Record<string, unknown>>
  readonly Client: {
    new (options: object): RaceClient
    readonly prototype: RaceClient
  }
  end(): Promise<void>
  /** Those that are open, where this version of pg says so. */
  readonly _clients?: readonly RaceClient[]
}

/** The pool of a race, also under `postgres(pool)`; undefined where there is none. */
export function poolUnder({ definition: { store } }: Race): RacePool | undefined {
  const pool = (poolOfStore.get(store as Store) ?? store) as Partial<RacePool> | undefined
  return typeof pool?.Client === 'function' && pool.options !== undefined ? (pool as RacePool) : undefined
}
