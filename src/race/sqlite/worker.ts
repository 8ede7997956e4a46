/** The thread of one task: loads the user's file, runs the task in each schedule, and stops at each statement. */
import { parentPort, workerData } from 'node:worker_threads'
import { tame } from '../../core/thrown.ts'
import type { SqliteDatabaseLike } from '../../store/sqlite/sqlite-client.ts'
import { reportError } from '../error-report.ts'
import { loadRace } from '../load-race.ts'
import { seeded } from '../random.ts'
import { runAgain } from '../remedy/one-transaction.ts'
import { plain } from '../returned.ts'
import { Task } from '../task.ts'
import { turn, virtualise } from '../virtual.ts'
import { checkLed, redirectSqlite } from '../workers/redirect-sqlite.ts'
import { DRIVERS, loadDriver } from './driver-of.ts'
import { Gate } from './gate.ts'
import { sqliteOf } from './handle.ts'
import { type FromWorker, isRefused, type ToWorker, type WorkerStart } from './protocol.ts'

const start = workerData as WorkerStart
const post = (message: FromWorker): void => parentPort?.postMessage(message)

/** Turns of the event loop without anything under way, after which the task waits for a timer or for ever. */
const IDLE_TURNS = 8

/** Each ends the one before. */
let reports = 0
/** How often the thread has stopped for a word of the scheduler's, who waits for one of its own after that. */
let stops = 0

let task = new Task(start.task, start.index, Math.random)

try {
  await serve()
} catch (error) {
  post({ kind: 'failed', error: reportError(error) })
}

async function serve(): Promise<void> {
  const { treatment, redirect, module } = start
  const refuse = (error: unknown): void => post({ kind: 'uncontrolled', error: reportError(error) })
  if (redirect !== undefined) redirectSqlite(redirect, module, refuse)
  const check =
    redirect &&
    ((db: SqliteDatabaseLike): void => {
      try {
        checkLed(db, redirect)
      } catch (error) {
        refuse(error)
        throw error
      }
    })
  const gate = new Gate({ post, wait, ...(check && { check }) }, treatment)
  patchDrivers(gate, module)
  virtualise()
  const race = await loadRace(module, start.race)
  const body = race.definition.tasks[start.task] as () => unknown
  // A driver of another name that has the same shape.
  if (typeof race.definition.store === 'object') {
    const sqlite = sqliteOf(race)?.open()
    if (sqlite !== undefined) {
      gate.patch(sqlite.handle)
      check?.(sqlite.handle)
    }
    sqlite?.close()
  }
  const whole = treatment.whole === undefined ? body : () => gate.inOneTransaction(body)
  const treated = treatment.again ? runAgain(whole, isRefused) : whole
  // As in the scheduler: it fails by what it lets go of.
  process.on('unhandledRejection', (error) => {
    task.escaped ??= { error: tame(error) }
  })
  parentPort?.on('message', (message: ToWorker) => {
    if (message.kind === 'reset') {
      gate.reset()
      post({ kind: 'reset' })
      return
    }
    if (message.kind === 'run') {
      gate.open()
      task = new Task(start.task, start.index, seeded(message.seed * 31 + start.index))
      task.run(treated)
    } else {
      task.virtualMs = start.virtualMs[0] ?? 0
      const [timer] = task.pending.splice(message.at, 1)
      timer?.resolve(undefined)
    }
    report().catch((error: unknown) => post({ kind: 'uncontrolled', error: reportError(error) }))
  })
  post({ kind: 'ready' })
}

/**
 * The drivers that the file may load are patched before it prepares statements. Without the warning that node:sqlite is
 * experimental, which who uses it has seen.
 */
function patchDrivers(gate: Gate, module: string): void {
  const { emitWarning } = process
  process.emitWarning = () => {}
  for (const name of DRIVERS) {
    try {
      const handle = new (loadDriver(name, module))(':memory:')
      gate.patch(handle)
      handle.close()
    } catch {
      // Not installed, or not made for this Node.
    }
  }
  process.emitWarning = emitWarning
}

/**
 * Lets the task's code run until it ends or waits, and says which. A statement stops the thread meanwhile. One that waits and has
 * set no timer may still go on by itself, so it is watched until the thread is told something else.
 */
async function report(): Promise<void> {
  reports += 1
  const mine = reports
  let saidAfter: number | undefined
  for (let idle = 0; ; idle += 1) {
    await turn()
    if (reports !== mine) return
    const { pending } = task
    const stray = task.strayed()
    if (stray !== undefined) throw stray
    if (task.ended !== undefined) {
      const ended = task.escaped ?? task.ended
      post('error' in ended ? { kind: 'threw', error: reportError(ended.error) } : endedWith(ended.value))
      return
    }
    if (task.working() !== undefined) idle = 0
    else if (pending.length > 0 || (idle > IDLE_TURNS && saidAfter !== stops)) {
      saidAfter = stops
      post({
        kind: 'idle',
        timers: pending.map(({ text, dueMs = 0, again = false }) => ({ text, dueMs, again })),
        lasting: task.lasting && reportError(task.lasting),
      })
      if (pending.length > 0) return
    }
  }
}

/** What cannot cross as it is crosses in the form in which it is compared. */
function endedWith(value: unknown): FromWorker {
  try {
    return { kind: 'ended', value: structuredClone(value) }
  } catch {
    return { kind: 'ended', value: plain(value) }
  }
}

function wait(): number {
  stops += 1
  for (;;) {
    const signal = Atomics.exchange(start.signal, 0, 0)
    if (signal !== 0) {
      task.virtualMs = start.virtualMs[0] ?? 0
      return signal
    }
    Atomics.wait(start.signal, 0, 0)
  }
}
