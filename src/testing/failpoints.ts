import { ConfigError, HoldfastError } from '../core/errors.ts'
import { setFailpointHook } from '../core/failpoint.ts'
import { type Check, checkArguments, checkOptions, isName, isObject, isText, show } from '../core/options.ts'

/**
 * What happens at a failpoint.
 *
 * `kill`: SIGKILL to this process, as a crash at this very line. `stop`: SIGSTOP; the process goes on at SIGCONT.
 * `throw`: a FailpointError. `pause`: waits for `resume()` (nothing happens where the place is synchronous).
 * A function runs and is waited for.
 */
export type FailpointAction = 'kill' | 'stop' | 'throw' | 'pause' | ((name: string) => void | Promise<void>)

export interface ArmOptions {
  /** Hits that pass untouched before the first that acts. Default 0. */
  readonly skip?: number
  /** Hits that act, after which the place is harmless again. Default: all. */
  readonly times?: number
}

/** One armed failpoint. */
export interface ArmedFailpoint {
  readonly name: string
  /** Hits so far, skipped ones included. */
  readonly hits: number
  /** Fulfils at the first hit that acts; never, when that hit kills. */
  readonly reached: Promise<void>
  /** Lets all who wait at a `pause` go on, and later hits pass. */
  resume(): void
  disarm(): void
}

/** Thrown at a place armed with `throw`. Its outcome is `unknown`, since it may stand after a write as well as before. */
export class FailpointError extends HoldfastError {
  static {
    this.prototype.name = 'FailpointError'
  }
  readonly code = 'FAILPOINT'
  readonly outcome = 'unknown'
  readonly failpoint: string

  constructor(failpoint: string) {
    super(`the failpoint ${failpoint} is armed to throw`)
    this.failpoint = failpoint
  }
}

class Armed implements ArmedFailpoint {
  readonly name: string
  readonly reached: Promise<void>
  hits = 0
  readonly #action: FailpointAction
  readonly #skip: number
  #timesLeft: number
  #announce!: () => void
  #paused: (() => void)[] = []

  constructor(
    name: string,
    action: FailpointAction,
    { skip = 0, times = Number.POSITIVE_INFINITY }: ArmOptions,
  ) {
    this.name = name
    this.#action = action
    this.#skip = skip
    this.#timesLeft = times
    this.reached = new Promise((resolve) => {
      this.#announce = resolve
    })
  }

  hit(): void | Promise<void> {
    this.hits += 1
    if (this.hits <= this.#skip || this.#timesLeft <= 0) return
    this.#timesLeft -= 1
    this.#announce()
    if (typeof this.#action === 'function') return this.#action(this.name)
    switch (this.#action) {
      case 'kill':
        return die()
      case 'stop':
        process.kill(process.pid, 'SIGSTOP')
        return
      case 'throw':
        throw new FailpointError(this.name)
      case 'pause':
        return new Promise((resolve) => this.#paused.push(resolve))
    }
  }

  resume(): void {
    this.#timesLeft = 0
    for (const go of this.#paused.splice(0)) go()
  }

  disarm(): void {
    if (armed.get(this.name) === this) armed.delete(this.name)
    this.resume()
    settleHook()
  }
}

/** Nothing of this process may run after the signal is sent, not even the rest of this turn. */
function die(): never {
  process.kill(process.pid, 'SIGKILL')
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
}

const armed = new Map<string, Armed>()
let recorded: Map<string, number> | undefined

function settleHook(): void {
  setFailpointHook(armed.size === 0 && recorded === undefined ? undefined : onHit)
}

function onHit(name: string): void | Promise<void> {
  recorded?.set(name, (recorded.get(name) ?? 0) + 1)
  return armed.get(name)?.hit()
}

/**
 * The failpoints of this process. Every place between two effects of Holdfast has a name, listed in
 * docs/reference/failpoints.md; your own code may call `failpoint` of `holdfast/testing` too.
 */
export const failpoints = {
  /** Arms `name`, in place of what it was armed with before. */
  arm(name: string, action: FailpointAction, options: ArmOptions = {}): ArmedFailpoint {
    checkArguments('failpoints.arm', isName('name', name), isObject('options', options))
    checkOptions(
      'failpoints.arm',
      options,
      ['skip', 'times'],
      [
        typeof action === 'function' ||
          ['kill', 'stop', 'throw', 'pause'].includes(action) ||
          `the action must be kill, stop, throw, pause or a function, got ${show(action)}`,
        isWhole('skip', options.skip),
        isWhole('times', options.times),
      ],
    )
    armed.get(name)?.disarm()
    const one = new Armed(name, action, options)
    armed.set(name, one)
    settleHook()
    return one
  },

  /** Begins to count hits of every name, armed or not. */
  record(): void {
    recorded = new Map()
    settleHook()
  },

  /** The names reached since `record`, with how often, in order of first reach. */
  hits(): ReadonlyMap<string, number> {
    return new Map(recorded)
  },

  /** Disarms all and stops counting; whoever waits at a `pause` goes on. */
  reset(): void {
    for (const one of [...armed.values()]) one.disarm()
    recorded = undefined
    settleHook()
  },
}

const ENTRY = /^(?<name>[^=,@*\s]+)=(?<action>kill|stop|throw)(?:@(?<at>[1-9]\d*))?(?:\*(?<times>[1-9]\d*))?$/

/**
 * Arms what a parent process asked for, usually in `HOLDFAST_FAILPOINTS`: names with an action each, separated by
 * commas. `outbox.relay.published=kill@3` acts at the third hit only, `store.commit.after=throw*2` at the first two,
 * `store.commit.after=throw` at every one. Undefined and empty text arm nothing.
 * @throws ConfigError naming every entry that cannot be read; nothing is armed then
 */
export function armFailpointsFromEnv(text: string | undefined): ArmedFailpoint[] {
  checkArguments('armFailpointsFromEnv', text === undefined || isText('text', text))
  const entries = (text ?? '')
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .map((entry) => ({ entry, groups: ENTRY.exec(entry)?.groups }))
  const problems = entries
    .filter(({ groups }) => groups === undefined)
    .map(({ entry }) => `cannot read "${entry}"; write name=kill, name=stop@3 or name=throw*2`)
  if (problems.length > 0) throw new ConfigError('failpoints', problems)
  return entries.map(({ groups }) => {
    const { name, action, at, times } = groups as {
      name: string
      action: 'kill'
      at?: string
      times?: string
    }
    const options: ArmOptions = {
      skip: at === undefined ? 0 : Number(at) - 1,
      ...(times !== undefined ? { times: Number(times) } : at !== undefined ? { times: 1 } : {}),
    }
    return failpoints.arm(name, action, options)
  })
}

function isWhole(name: string, value: number | undefined): Check {
  return (
    value === undefined ||
    (Number.isInteger(value) && value >= 0) ||
    `${name} must be a whole number from 0, got ${show(value)}`
  )
}
