import { checkOptions, isSchema, optionsOf, show } from '../../core/options.ts'
import { checkSchema } from '../../core/standard-schema.ts'
import type { ReceiveOptions } from '../context.ts'
import type { Entry } from '../entry.ts'
import { WaitTimeoutError } from '../errors.ts'
import { decodeValue } from '../value.ts'
import type { Call, Place } from './place.ts'

export function callSleep(place: Place, name: string, ms: number): Promise<void> {
  return place.begin('sleep', name, async (call) => {
    checkOptions(`sleep "${name}"`, { ms }, ['ms'], [isLongDuration('ms', ms)])
    const { run } = place
    const untilMs = await deadline(place, call, ms)
    if (untilMs > run.env.nowMs()) {
      if (call.answers.length > 0) await run.frontier(place.signal)
      while (untilMs > run.env.nowMs()) await run.wait(untilMs, `sleep "${call.step}"`, place.signal)
    }
    place.lastMs = Math.max(place.lastMs, untilMs)
  })
}

export function callReceive(
  place: Place,
  name: string,
  options: ReceiveOptions<unknown> = {},
): Promise<unknown> {
  return place.begin('receive', name, async (call) => {
    const { timeoutMs, schema } = optionsOf(`receive "${name}"`, options)
    checkOptions(
      `receive "${name}"`,
      options,
      ['timeoutMs', 'schema'],
      [
        timeoutMs === undefined || isLongDuration('timeoutMs', timeoutMs),
        schema === undefined || isSchema('schema', schema),
      ],
    )
    const bounded = timeoutMs !== undefined && !call.answers.some(isAnswer)
    const untilMs =
      bounded || call.answers.some(isTimer) ? await deadline(place, call, timeoutMs ?? 0) : undefined
    return awaitSignal(place, call, name, { untilMs, timeoutMs, schema })
  })
}

/** When the wait of this call ends: as recorded, or recorded now. */
async function deadline(place: Place, call: Call, ms: number): Promise<number> {
  const { run } = place
  let timer = call.answers.find(isTimer)
  if (timer === undefined) {
    await run.frontier(place.signal)
    const data = JSON.stringify({ untilMs: Math.ceil(run.env.nowMs() + ms) })
    timer = run.append('timer', call.step, call.pos, data)
  }
  place.met(timer.seq)
  return (JSON.parse(timer.data ?? '{}') as { untilMs: number }).untilMs
}

/** Takes the next signal of this name, or the answer that the journal has. @throws WaitTimeoutError */
export async function awaitSignal(
  place: Place,
  call: Call,
  signalName: string,
  how: {
    readonly untilMs: number | undefined
    readonly timeoutMs: number | undefined
    readonly schema: ReceiveOptions<unknown>['schema'] | undefined
  },
): Promise<unknown> {
  const { run } = place
  let answer = call.answers.find(isAnswer)
  if (answer === undefined) {
    await run.frontier(place.signal)
    for (;;) {
      const signal = run.mail.take(signalName)
      if (signal !== undefined) {
        answer = run.append('signal', call.step, call.pos, signal.payload, `${signal.number}`)
        break
      }
      if (how.untilMs !== undefined && how.untilMs <= run.env.nowMs()) {
        answer = run.append('timeout', call.step, call.pos, null)
        break
      }
      await run.wait(how.untilMs, `signal "${signalName}"`, place.signal)
    }
  }
  place.reach(answer)
  if (answer.kind === 'timeout') throw new WaitTimeoutError(`"${signalName}"`, how.timeoutMs ?? 0)
  const payload = decodeValue(answer.data)
  return how.schema === undefined ? payload : checkSchema(`"${signalName}"`, how.schema, payload)
}

function isAnswer({ kind }: Entry): boolean {
  return kind === 'signal' || kind === 'timeout'
}

function isTimer({ kind }: Entry): boolean {
  return kind === 'timer'
}

/** Up to a hundred years. */
function isLongDuration(name: string, ms: number): true | string {
  return (
    (Number.isFinite(ms) && ms >= 0 && ms <= 3_155_760_000_000) ||
    `${name} must be a number of milliseconds from 0 to a hundred years, got ${show(ms)}`
  )
}
