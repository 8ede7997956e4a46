/**
 * A task that never gives the event loop back cannot be stopped by what waits in the same event loop: a thread watches from
 * outside. See docs/design/0020-a-task-that-spins.md.
 */
import { writeSync } from 'node:fs'
import { url as debuggedAt } from 'node:inspector'
import { isMainThread, Worker } from 'node:worker_threads'
import { usersFrames } from '../core/users-frames.ts'
import { beginning, placeOf, SpinningTaskError } from './errors.ts'
import { BEATS, HOOK, type HookAnswer, LIMIT_MS, TASK, type Watched } from './spin-cells.ts'
import { currentTask } from './task.ts'

/** Long enough for any computation between two statements, short enough for a job of CI. */
export const SPIN_MS = 30_000

/** What is watched, as far as an error has to say it. */
export interface Spinnable extends Pick<Watched, 'race' | 'names'> {
  readonly limitMs: number
  /** What runs, for `… has kept the event loop`: a task with its schedule, or `setup`. `task` is the one that the call belongs to, where that is known. */
  what(task: string | undefined): string
}

const cells = new Int32Array(new SharedArrayBuffer(12))
let thread: Worker | undefined
let watched: Spinnable | undefined
/** What is done about it; undefined says it on standard error and leaves the process alone. */
let ending: ((error: SpinningTaskError) => never) | undefined

/** For a process that is the search's own: `end` is to end it. It is called on top of the code that spins, which never goes on. */
export function endWhereItSpins(end: (error: SpinningTaskError) => never): void {
  ending = end
}

/** A turn of the event loop. One store, since it stands in every turn of a schedule. */
export function beat(): void {
  Atomics.add(cells, BEATS, 1)
}

/** Whose JavaScript runs from here on. */
export function runs(index: number): void {
  Atomics.store(cells, TASK, index + 1)
}

/**
 * Watches until the returned function is called; whoever calls it has to `beat` meanwhile. Not under a debugger, where the
 * event loop stands still at every breakpoint.
 */
export function watchSpinning(spinnable: Spinnable): () => void {
  if (debuggedAt() !== undefined) return () => {}
  thread ??= startThread()
  if (watched?.race !== spinnable.race || watched.names !== spinnable.names) {
    const { race, names } = spinnable
    thread?.postMessage({ race, names, ends: ending !== undefined } satisfies Watched)
  }
  watched = spinnable
  Atomics.store(cells, TASK, 0)
  Atomics.store(cells, LIMIT_MS, Math.ceil(spinnable.limitMs))
  return () => void Atomics.store(cells, LIMIT_MS, 0)
}

/** The same around the loading of the file that exports the race. */
export async function watchLoading<T>(path: string, load: () => Promise<T>, limitMs = SPIN_MS): Promise<T> {
  const beats = setInterval(beat, 50).unref()
  const unwatch = watchSpinning({ race: path, names: [], limitMs, what: () => 'loading the file' })
  try {
    return await load()
  } finally {
    unwatch()
    clearInterval(beats)
  }
}

/** Undefined where this is the source and Node does not run it: the library's own tests watch the build. */
function startThread(): Worker | undefined {
  const isSource = import.meta.url.endsWith('.ts')
  if (isSource && !(process.features as { typescript?: unknown }).typescript) return undefined
  const file = isSource ? './spin-thread.ts' : './spin-thread.js'
  Object.defineProperty(globalThis, Symbol.for(HOOK), { value: spins, configurable: true })
  const started = new Worker(new URL(file, import.meta.url), {
    workerData: { cells, inspects: isMainThread },
    execArgv: [],
  })
  started.on('error', (error) => process.emitWarning(`tasks that spin are not seen: ${error.message}`))
  started.unref()
  return started
}

/** Called by the watching thread's debugger on top of the code that spins. `last`: it will not ask again. */
function spins(last: boolean): HookAnswer {
  const at = beginning('')
  const place = placeOf(at)
  if (place === '' && !last) return 'again'
  if (watched === undefined) return 'told'
  const { race, limitMs, what } = watched
  const error = new SpinningTaskError(
    `race "${race}": ${what(currentTask.getStore()?.name)} has kept the event loop for ${limitMs} ms${place}`,
    { cause: at },
  )
  if (ending !== undefined) ending(error)
  const frames = usersFrames(at.stack ?? '').map(({ text }) => `    ${text}\n`)
  writeSync(2, `holdfast: ${error.message}; it cannot be stopped from here\n${frames.join('')}`)
  return 'told'
}
