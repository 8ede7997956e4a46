import { sql } from '../store/sql.ts'
import type { Call } from './branch.ts'
import type { SagaState } from './entry.ts'
import { insertSagas } from './journal-statements.ts'
import { runnersOf } from './local.ts'
import type { AttemptContext, SagaRun } from './run.ts'
import type { Saga } from './saga.ts'
import { requestCancel } from './signals.ts'
import { newSaga } from './start.ts'
import { hashOf } from './value.ts'

export interface ChildEnd {
  readonly state: SagaState
  readonly output: string | null
  readonly reason: string | null
}

/** Inserts the child with the parent's entry, in one transaction. */
export async function startChild(
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

export async function readChild(run: SagaRun, childId: string): Promise<ChildEnd | 'running'> {
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
  return row.ended_at_ms === null ? 'running' : row
}

/**
 * Gives a child back: one that runs is cancelled, and its end waited for; one that had completed is undone by `undo`, if
 * there is one.
 */
export async function undoChild(
  run: SagaRun,
  childId: string,
  context: AttemptContext,
  undo: ((context: AttemptContext) => unknown) | undefined,
): Promise<undefined> {
  if (undo !== undefined) {
    await undo(context)
    return undefined
  }
  const { store } = run.env
  await store.transaction((tx) => requestCancel(tx, childId))
  for (const runner of runnersOf(store)) runner.poke(childId)
  for (;;) {
    const end = await readChild(run, childId)
    if (end !== 'running') return undefined
    await store.clock.sleep(100, context.signal)
  }
}
