/** The thread that watches. It shares nothing with the tasks but the cells, and looks at them on a clock of its own. */
import { writeSync } from 'node:fs'
import { type Debugger, Session } from 'node:inspector'
import { parentPort, workerData } from 'node:worker_threads'
import { BEATS, HOOK, type HookAnswer, LIMIT_MS, TASK, type Watched } from './spin-cells.ts'

const { cells, inspects } = workerData as { readonly cells: Int32Array; readonly inspects: boolean }

const LOOK_MS = 100
/** How long the debugger gets: code in a call of Node's own, or of an addon, does not stop for it. */
const ANSWER_MS = 5_000
/** Steps into Node's own code, and out of it again, until a file of the user's is on the stack. */
const STEPS_MAX = 500

let watched: Watched | undefined
parentPort?.on('message', (message: Watched) => {
  watched = message
})

let beats = -1
/** Counted in looks: a machine that slept, or a process that was stopped, has not spun. */
let stillMs = 0
let told = false

setInterval(() => {
  const limitMs = Atomics.load(cells, LIMIT_MS)
  const now = Atomics.load(cells, BEATS)
  if (limitMs === 0 || now !== beats) {
    beats = now
    stillMs = 0
    told = false
    return
  }
  stillMs += LOOK_MS
  if (stillMs < limitMs || told) return
  told = true
  if (inspects) interrupt(limitMs)
  else tellBlindly(limitMs)
}, LOOK_MS)

/** Stops the other thread where it is, and has it say where that is. */
function interrupt(limitMs: number): void {
  const session = new Session()
  const late = setTimeout(() => tellBlindly(limitMs), ANSWER_MS)
  let steps = 0
  const goOn = (): void => {
    clearTimeout(late)
    session.post('Debugger.resume')
    session.post('Debugger.disable', () => session.disconnect())
  }
  /** Frames name their script by its number. */
  const urls = new Map<string, string>()
  const isFile = ({ location }: Debugger.CallFrame): boolean => {
    const url = urls.get(location.scriptId) ?? ''
    return url !== '' && !url.startsWith('node:')
  }
  session.connectToMainThread()
  session.on('Debugger.scriptParsed', ({ params: { scriptId, url } }) => urls.set(scriptId, url))
  session.on('Debugger.paused', ({ params: { callFrames } }) => {
    steps += 1
    const last = steps > STEPS_MAX
    const frame = callFrames.find(isFile) ?? (last ? callFrames[0] : undefined)
    if (frame === undefined) return session.post('Debugger.stepInto')
    const asked = {
      callFrameId: frame.callFrameId,
      expression: `globalThis[Symbol.for(${JSON.stringify(HOOK)})](${last})`,
      returnByValue: true,
    }
    session.post(
      'Debugger.evaluateOnCallFrame',
      asked,
      (_, answer?: Partial<Debugger.EvaluateOnCallFrameReturnType>) => {
        const value = answer?.result?.value as HookAnswer | undefined
        if (value === 'told') goOn()
        else if (!last) session.post('Debugger.stepInto')
      },
    )
  })
  session.post('Debugger.enable')
  session.post('Debugger.pause')
}

/** Without a stack: nothing but the names is known here. */
function tellBlindly(limitMs: number): void {
  if (watched === undefined) return
  const { race, names, ends } = watched
  const task = names[Atomics.load(cells, TASK) - 1]
  const who = task === undefined ? 'its file, `setup` or `invariant`' : `task ${task}`
  writeSync(
    2,
    `holdfast: race "${race}": ${who} has kept the event loop for ${limitMs} ms, in a call that cannot be looked into (of Node itself, of a native addon, or in a thread)\n`,
  )
  // No handler of the process can run, and no exit code can be given from here.
  if (ends) process.kill(process.pid, 'SIGKILL')
}
