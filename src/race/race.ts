import { ConfigError, checkOptions, isCount, isDuration } from '../core/index.ts'
import { checkArguments, isName, isObject, show } from '../core/options.ts'
import { type Store, StoreUnavailableError } from '../store/index.ts'
import { poolOfStore } from '../store/pool-of.ts'
import type { PoolLike, RawClient } from './intercept-pg.ts'
import { SPIN_MS } from './spin-watch.ts'

/** What `setup` and `invariant` are given: a connection of their own, outside of every task. */
export interface RaceDatabase {
  // biome-ignore lint/suspicious/noExplicitAny: rows have the shape that the statement gives them
  query(text: string, values?: unknown[]): Promise<{ rows: any[]; rowCount: number | null }>
}

export interface RaceDefinition {
  /**
   * The pool that the tasks use, or `postgres(pool)`; other pools of the same `pg` are intercepted too. For SQLite a handle of
   * better-sqlite3, libsql or node:sqlite on a file, `sqlite({ open })`, or `sqlite:PATH`, which is opened with the driver that
   * the file of the race loads; other handles of the same driver are intercepted too. Left out where `holdfast race FILE` is
   * given `--store sqlite:PATH`.
   */
  readonly store?: Store | object | string
  /**
   * On SQLite, and with `workers`: `import.meta.url` of the file that exports this race, since a thread or a process loads it.
   * `holdfast race FILE` knows it.
   */
  readonly module?: string | URL
  /** Brings the tables to the same state; runs before every schedule, so keep it to DELETE and INSERT after the first. */
  readonly setup?: (db: RaceDatabase) => unknown
  /** Two to five functions, run as they are. A letter of a schedule is a task, in this order. */
  readonly tasks: Readonly<Record<string, () => unknown>>
  /** Checked after every schedule: false or an error is a finding, even where the outcome is that of a serial order. */
  readonly invariant?: (db: RaceDatabase) => unknown
  /**
   * Errors by which your own code declines a task that met another one, beside those of the database: an exhausted retry,
   * a version conflict. A declined task must have left nothing.
   */
  readonly refused?: (error: unknown) => boolean
  readonly options?: RaceOptions
}

export interface RaceOptions {
  /** Chooses the random schedules and the tasks' random numbers. Default 1. */
  readonly seed?: number
  /** How many schedules at most. Default 1,000. */
  readonly schedules?: number
  /** How many seconds at most. Default 60. */
  readonly seconds?: number
  /** Replays this schedule only. */
  readonly replay?: string
  /**
   * True ends the search once whatever is left differs from what was run only by the order of neighbouring steps that are
   * independent in the database. Default false: such schedules come last, since tasks may share something in memory.
   */
  readonly skipEquivalent?: boolean
  /** False leaves it at naming what removes a race that was found, and does not try it. Default true. */
  readonly remedies?: boolean
  /** A task without a step, or a statement without an answer that no task holds up, is given up after this. Default 5,000. */
  readonly stallMs?: number
  /**
   * How long the JavaScript of a task may run without giving the event loop back, in milliseconds. `holdfast race` and the
   * processes of `workers` then end with RACE_SPINNING; elsewhere it is said on standard error. Default 30,000.
   */
  readonly spinMs?: number
  /**
   * Spreads the search over so many processes, each of which loads the file that exports the race (`module`) and has a clone
   * of the database. The report is the same for any number. Default: this process and the database itself.
   */
  readonly workers?: number
  /** Ends the search with the signal's reason; clones and processes of workers are gone by then. */
  readonly signal?: AbortSignal
}

/** More processes would wait for each other. */
const WORKERS_MAX = 64

const STALL_MS = 5_000

export interface Race {
  readonly name: string
  readonly definition: RaceDefinition
}

/**
 * Names two to five tasks whose interleavings `explore` and `holdfast race` run against a real database.
 *
 * @throws ConfigError for a definition that cannot be explored
 */
export function race(name: string, definition: RaceDefinition): Race {
  checkArguments(
    'race',
    isName('name', name),
    isObject('definition', definition),
    isObject('tasks', definition?.tasks),
  )
  const names = Object.keys(definition.tasks)
  checkOptions(
    `race "${name}"`,
    definition,
    ['store', 'module', 'setup', 'tasks', 'invariant', 'refused', 'options'],
    [
      definition.store === undefined || // the command's --store names it
        typeof definition.store === 'string' ||
        typeof definition.store === 'object' ||
        typeof definition.store === 'function' ||
        `store must be a store, a pool or an SQLite handle, got ${show(definition.store)}`,
      definition.module === undefined ||
        typeof definition.module === 'string' ||
        definition.module instanceof URL ||
        'module must be the URL of the file that exports the race: import.meta.url',
      definition.options === undefined || isObject('options', definition.options),
      typeof definition.store !== 'string' ||
        (/^sqlite:./.test(definition.store) && definition.store !== 'sqlite::memory:') ||
        'store must be sqlite:PATH where it is a text, and not in memory',
      (names.length >= 2 && names.length <= 5) || `tasks must be two to five functions, got ${names.length}`,
      ...(['setup', 'invariant', 'refused'] as const).map(
        (part) =>
          definition[part] === undefined ||
          typeof definition[part] === 'function' ||
          `${part} must be a function`,
      ),
      names.every((task) => typeof definition.tasks[task] === 'function') || 'every task must be a function',
    ],
  )
  return { name, definition }
}

/** What `race` gave; a Race of another copy of the package will do. @throws ConfigError */
export function checkRace(subject: string, race: Race, options: RaceOptions): void {
  checkArguments(
    subject,
    (typeof race?.name === 'string' && isObject('', race.definition?.tasks) === true) ||
      `the first argument must be what race(…) gave, got ${show(race)}`,
    isObject('options', options),
  )
}

/** With every default. */
export type ResolvedOptions = Required<Omit<RaceOptions, 'replay' | 'workers' | 'signal'>> & RaceOptions

/** @throws ConfigError, all problems at once */
export function resolveOptions(given: RaceOptions): ResolvedOptions {
  checkArguments('race options', isObject('options', given))
  const { seed = 1, schedules = 1_000, seconds = 60, stallMs = STALL_MS, spinMs = SPIN_MS } = given
  const { remedies = true, skipEquivalent = false, workers, replay } = given
  checkOptions(
    'race options',
    given,
    [
      'seed',
      'schedules',
      'seconds',
      'replay',
      'stallMs',
      'spinMs',
      'remedies',
      'skipEquivalent',
      'workers',
      'signal',
    ],
    [
      isCount('seed', seed, 0, 4_294_967_295),
      isCount('schedules', schedules, 1, 10_000_000),
      isDuration('seconds', seconds),
      isDuration('stallMs', stallMs),
      isDuration('spinMs', spinMs),
      typeof remedies === 'boolean' || 'remedies must be true or false',
      typeof skipEquivalent === 'boolean' || 'skipEquivalent must be true or false',
      workers === undefined || isCount('workers', workers, 1, WORKERS_MAX),
      workers === undefined || replay === undefined || 'replay is one schedule: leave workers out',
    ],
  )
  return { ...given, seed, schedules, seconds, stallMs, spinMs, remedies, skipEquivalent }
}

/** @throws ConfigError for a store that the explorer cannot look into */
export function poolOf({ name, definition: { store } }: Race): PoolLike & { readonly options: object } {
  const pool = (poolOfStore.get(store as Store) ?? store) as Partial<PoolLike>
  if (typeof pool?.Client !== 'function' || pool.options === undefined) {
    throw new ConfigError(`race "${name}"`, [
      'store must be a pg.Pool, postgres(pool), a SQLite handle, sqlite({ open }) or sqlite:PATH: other stores cannot be explored',
    ])
  }
  return pool as PoolLike & { options: object }
}

/**
 * A connection of no task, from the same driver and to the same place, or to another `database` there. `setup` fails rather
 * than waits for a lock that a task of an earlier schedule kept.
 */
export async function openControl(
  pool: PoolLike & { readonly options: object },
  { stallMs = STALL_MS, database }: { readonly stallMs?: number; readonly database?: string } = {},
): Promise<RawClient> {
  // The pool hides the password from enumeration, so it is named here.
  const { password } = pool.options as { password?: unknown }
  const client = new pool.Client({ ...pool.options, ...(password === undefined ? {} : { password }) })
  if (database !== undefined) leadTo(client, database)
  try {
    await client.connect()
  } catch (cause) {
    throw new StoreUnavailableError('the database of the race could not be reached', 'not-applied', { cause })
  }
  await client.query(`set synchronous_commit = off; set lock_timeout = ${Math.ceil(stallMs)}`)
  return client
}

/** Has a client of pg that is not connected connect to another database of its server, whatever its options name. */
export function leadTo(client: object, database: string): void {
  const { connectionParameters } = client as { connectionParameters: object }
  Object.assign(connectionParameters, { database })
  Object.assign(client, { database })
}
