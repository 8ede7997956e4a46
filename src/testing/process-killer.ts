import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process'
import { constants } from 'node:os'
import { type Clock, systemClock } from '../core/clock.ts'
import {
  checkArguments,
  checkOptions,
  hasMethods,
  isCount,
  isDuration,
  isFunction,
  isList,
  isName,
  isObject,
  isOneOf,
} from '../core/options.ts'

export interface ProcessExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A child process that a test may kill, freeze and thaw. Disposing of it kills it. */
export interface TestProcess extends AsyncDisposable {
  readonly child: ChildProcess
  readonly pid: number
  readonly exited: Promise<ProcessExit>
  readonly running: boolean
  /** Default SIGKILL, which the process cannot notice: no handler runs, no socket is closed politely. */
  kill(signal?: NodeJS.Signals): Promise<ProcessExit>
  /** SIGSTOP: the process keeps its connections and locks and does nothing, as in a long pause of the machine. */
  freeze(): void
  /** SIGCONT: the process goes on where it was and does not know that time has passed. */
  thaw(): void
  /** True while the process is stopped by a signal, by `freeze` or by a failpoint armed with `stop`. POSIX only. */
  isFrozen(): boolean
}

const alive = new Set<ChildProcess>()
let cleaning = false

/** Starts a command as a child process. Children still alive when this process exits are killed. */
export function spawnProcess(
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): TestProcess {
  checkArguments(
    'spawnProcess',
    isName('command', command, 4_096),
    isList('args', args),
    isObject('options', options),
  )
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'], ...options })
  killAtExit(child)
  let exit: ProcessExit | undefined
  const exited = new Promise<ProcessExit>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      alive.delete(child)
      exit = { code, signal }
      resolve(exit)
    })
  })
  exited.catch(() => alive.delete(child))

  const kill = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<ProcessExit> => {
    checkArguments('kill', isOneOf('signal', signal, Object.keys(constants.signals)))
    if (exit === undefined) child.kill(signal)
    return exited
  }
  return {
    child,
    get pid() {
      return child.pid ?? 0
    },
    get running() {
      return exit === undefined
    },
    exited,
    kill,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    isFrozen: () => isStopped(child.pid ?? 0),
    [Symbol.asyncDispose]: async () => void (await kill()),
  }
}

/** True when the process `pid` is stopped by SIGSTOP. Asks `ps`, so POSIX only. */
export function isStopped(pid: number): boolean {
  checkArguments('isStopped', isCount('pid', pid, 0, 2 ** 31))
  const { stdout } = spawnSync('ps', ['-o', 'state=', '-p', String(pid)], { encoding: 'utf8' })
  return /^\s*T/.test(stdout ?? '')
}

export interface KillerOptions {
  /** Who may be killed now; asked before each kill. */
  readonly targets: () => readonly Pick<TestProcess, 'kill'>[]
  /** The mean time between two kills; each wait is random, from half to one and a half of it. */
  readonly everyMs: number
  readonly signal: AbortSignal
  readonly random?: () => number
  readonly clock?: Clock
  readonly onKill?: (target: Pick<TestProcess, 'kill'>) => void
}

/** SIGKILLs a random target again and again until `signal` fires; fulfils with the number of kills. */
export async function killAtRandom(options: KillerOptions): Promise<number> {
  checkArguments('killAtRandom', isObject('options', options))
  const { targets, everyMs, signal, clock = systemClock, random = clock.random, onKill } = options
  checkOptions(
    'killAtRandom',
    options,
    ['targets', 'everyMs', 'signal', 'random', 'clock', 'onKill'],
    [
      isDuration('everyMs', everyMs),
      isFunction('targets', targets),
      onKill === undefined || isFunction('onKill', onKill),
      hasMethods('signal', signal, 'an AbortSignal', 'addEventListener'),
    ],
  )
  let kills = 0
  while (!signal.aborted) {
    await clock.sleep(everyMs * (0.5 + random()), signal).catch(() => {})
    const candidates = signal.aborted ? [] : targets()
    const target = candidates[Math.floor(random() * candidates.length)]
    if (target === undefined) continue
    kills += 1
    onKill?.(target)
    await target.kill('SIGKILL')
  }
  return kills
}

function killAtExit(child: ChildProcess): void {
  alive.add(child)
  if (cleaning) return
  cleaning = true
  process.once('exit', () => {
    for (const left of alive) left.kill('SIGKILL')
  })
}
