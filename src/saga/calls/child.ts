import { sql } from '../../store/sql.ts'
import type { AttemptContext } from '../attempt.ts'
import type { StepOptions } from '../context.ts'
import type { SagaState } from '../entry.ts'
import type { ErrorRecord } from '../errors.ts'
import { insertSagas } from '../journal-statements.ts'
import { runnersOf } from '../local.ts'
import { resolvePolicy } from '../policy.ts'
import type { SagaRun } from '../run.ts'
import type { Saga } from '../saga.ts'
import { requestCancel } from '../signals.ts'
import { newSaga } from '../start.ts'
import { decodeValue, encodeValue, hashOf } from '../value.ts'
import { STEP_TIMEOUT_MS, UNDO_ATTEMPTS, wrapUndo } from './perform.ts'
import type { Call, Place } from './place.ts'

/** Starts another saga with an entry, waits for its end, and records that. */
export function callChild(
  place: Place,
  name: string,
  child: Saga<unknown, unknown>,
  input: unknown,
  options: Pick<StepOptions<unknown, unknown>, 'undo' | 'undoRetry'> = {},
): Promise<unknown> {
  return place.begin('child', name, async (call) => {
    const { run } = place
    const childId = `${run.id}/${call.step}`
    const text = encodeValue(`input of saga "${childId}"`, input)
    const undo = wrapUndo(options.undo, input)
    const [started] = call.answers
    const ended = call.answers.find((entry) => entry.kind === 'step' || entry.kind === 'failed')
    if (started !== undefined) place.compareInput(call, started, hashOf(text))
    const register = (order: number, known?: { readonly result: unknown }): void => {
      run.undos.push({
        step: call.step,
        order,
        branch: place.path,
        phase: 'undo',
        policy: resolvePolicy(options.undoRetry, UNDO_ATTEMPTS),
        timeoutMs: STEP_TIMEOUT_MS,
        run: async (context) => {
          const end = known ?? (await giveBack(run, childId, context))
          if (end !== undefined) await undo?.(context, end.result)
          return undefined
        },
      })
    }
    if (ended !== undefined) {
      if (ended.kind === 'failed') throw place.failure(call, ended)
      const result = decodeValue(ended.data)
      register(ended.seq, { result })
      place.reach(ended)
      return result
    }
    let end: ChildEnd
    try {
      await run.frontier(place.signal)
      if (started === undefined) await startChild(run, call, child, childId, text)
      end = await awaitEnd(place, childId)
    } catch (error) {
      if (started !== undefined || run.history.mayHaveBegun(call) || run.abort.aborted) {
        run.unknown.push(call.step)
        register(Number.MAX_SAFE_INTEGER)
      }
      throw error
    }
    if (end.state === 'completed') {
      const entry = run.append('step', call.step, call.pos, end.output)
      const result = decodeValue(end.output)
      register(entry.seq, { result })
      place.reach(entry)
      return result
    }
    const error = JSON.parse(end.reason ?? '{}') as ErrorRecord
    const failed = run.append('failed', call.step, call.pos, JSON.stringify({ error, unknown: false }))
    throw place.failure(call, failed)
  })
}

interface ChildEnd {
  readonly state: SagaState
  readonly output: string | null
  readonly reason: string | null
}

/** Inserts the child with the parent's entry, in one transaction. */
async function startChild(
  run: SagaRun,
  call: Call,
  child: Saga<unknown, unknown>,
  childId: string,
  input: string | null,
): Promise<void> {
  const row = newSaga(child, childId, input, { nowMs: run.env.nowMs(), parentId: run.id })
  run.append('child', call.step, call.pos, JSON.stringify({ id: childId, saga: child.name }), hashOf(input))
  run.share().beside.push(async (tx) => void (await insertSagas(tx, [row])))
  await run.durable()
  for (const runner of runnersOf(run.env.store)) runner.poke(childId)
}

async function awaitEnd({ run, signal }: Place, childId: string): Promise<ChildEnd> {
  for (;;) {
    const end = await readChild(run, childId)
    if (end !== 'running' && end !== 'stuck') return end
    await run.wait(undefined, `saga "${childId}"`, signal)
  }
}

async function readChild(run: SagaRun, childId: string): Promise<ChildEnd | 'running' | 'stuck'> {
  const { store } = run.env
  const [row] = await store.read<ChildEnd & { ended_at_ms: unknown }>(
    sql`select state, output, reason, ended_at_ms from ${store.table('saga')} where id = ${childId}`,
  )
  if (row === undefined) {
    return {
      state: 'failed',
      output: null,
      reason: JSON.stringify({ name: 'Error', message: 'the child is gone' }),
    }
  }
  if (row.ended_at_ms !== null) return row
  return row.state === 'stuck' ? 'stuck' : 'running'
}

/**
 * Gives a child back that has not completed as far as is known: it is cancelled, and its end waited for. One that has
 * completed all the same (its end was not seen, or it is past its pivot) is left to the step's `undo`, with its output.
 * @throws an error that is final when the child is stuck, since a person has to decide about that one first
 */
async function giveBack(
  run: SagaRun,
  childId: string,
  { signal }: AttemptContext,
): Promise<{ readonly result: unknown } | undefined> {
  const { store } = run.env
  await store.transaction((tx) => requestCancel(tx, childId))
  for (const runner of runnersOf(store)) runner.poke(childId)
  for (;;) {
    const end = await readChild(run, childId)
    if (end === 'stuck') {
      const error = new Error(
        `saga "${childId}" is stuck, and is to be settled before this one is tried again`,
      )
      throw Object.assign(error, { final: true })
    }
    if (end !== 'running') return end.state === 'completed' ? { result: decodeValue(end.output) } : undefined
    await store.clock.sleep(100, signal)
  }
}
