import type { Store } from '../../store/store.ts'
import type { OwnTransaction } from '../../store/transaction.ts'
import type { AttemptContext } from '../attempt.ts'
import type { TransactionStepOptions } from '../context.ts'
import type { SagaRun } from '../run.ts'
import { barrierOf } from './barrier.ts'
import { isCommitLost, ownTransaction, type TransactionAttempt } from './own-transaction.ts'
import { type Attempted, commonSpec, perform } from './perform.ts'
import type { Place } from './place.ts'

/** On the journal's own store the effect commits with the entry; on another one it stands behind the barrier there. */
export function callTransaction(
  place: Place,
  name: string,
  store: Store,
  work: (tx: OwnTransaction, context: AttemptContext) => Promise<unknown>,
  options: TransactionStepOptions<unknown> = {},
): Promise<unknown> {
  return place.begin('step', name, async (call) => {
    const { run } = place
    const { undo } = options
    const own = store === run.env.store
    const transact = own ? ownTransaction : foreignTransaction
    return perform(place, call, {
      ...commonSpec(name, options, null),
      phase: 'do',
      attempt: (context) => transact(run, store, { call, phase: 'do', context }, (tx) => work(tx, context)),
      undo:
        undo &&
        (async (context, result) => {
          const undone = await transact(run, store, { call, phase: 'undo', context }, (tx) =>
            undo(tx, { ...context, input: undefined, result }),
          )
          return undone.written === undefined ? undefined : 'written'
        }),
      ...(own && { isLost: () => isCommitLost(run, call.step) }),
    })
  })
}

/** Behind the barrier, each attempt has its effect once or not at all. */
async function foreignTransaction(
  run: SagaRun,
  store: Store,
  { call, phase, context }: TransactionAttempt,
  work: (tx: OwnTransaction) => Promise<unknown>,
): Promise<Attempted<unknown>> {
  const { result } = await barrierOf(store).transaction(
    { saga: run.id, step: call.step, phase, epoch: context.epoch },
    async (tx) => {
      const value = await work(tx)
      return phase === 'do' ? value : undefined
    },
    { signal: context.signal },
  )
  return { value: result }
}
