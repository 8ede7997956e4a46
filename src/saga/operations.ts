import { checkArguments, isName } from '../core/options.ts'
import { isStore } from '../store/arguments.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import { forceUndo, fork, retry, skipStep } from './decide.ts'
import { ID_MAX } from './entry.ts'
import {
  checkFilter,
  countSagas,
  filterSql,
  listSagas,
  readFigures,
  type SagaCounts,
  type SagaDetails,
  type SagaFilter,
  type SagaInfo,
  showSaga,
} from './look.ts'
import { isUnasked, purgeEnded, removeSagas } from './retention.ts'
import { requestCancel } from './signals.ts'

export type { SagaCounts, SagaDetails, SagaFilter, SagaInfo }

/** What operators do with sagas: look, and decide what a saga cannot decide itself. */
export interface SagaOperations {
  list(filter?: SagaFilter, options?: { limit?: number }): Promise<SagaInfo[]>
  count(filter?: SagaFilter): Promise<number>
  show(id: string): Promise<SagaDetails>
  figures(): Promise<SagaCounts>
  /** A stuck saga tries again what it is stuck on, with its tries counted anew. */
  retry(id: string): Promise<void>
  /** A stuck saga goes on as if the step, undo or confirm it is stuck on were done; a step then has given `result`. */
  skipStep(id: string, options?: { result?: unknown }): Promise<void>
  /** A stuck saga goes back, even past its pivot. What was done after the pivot has no undo and stays. */
  forceUndo(id: string): Promise<void>
  /** Starts a new saga that has the journal of this one up to `from`, which it runs anew, and all that follows. */
  fork(id: string, options: { from: string; newId: string }): Promise<void>
  cancel(id: string): Promise<boolean>
  /** Removes sagas that have ended, with all that is stored of them. Gives their number. */
  purge(filter: SagaFilter): Promise<number>
}

/** @throws SagaNotFoundError, SagaStateError of each that changes something: then nothing was changed */
export function sagaOperations(store: Store): SagaOperations {
  checkArguments('sagaOperations', isStore(store))
  /** Asynchronous, so that what is wrong with the arguments rejects as everything else does. */
  const of = <T>(what: string, id: string, work: () => Promise<T>) => asked(`sagas.${what}`, id, work)
  return {
    list: (filter, options) => listSagas(store, filter, options),
    count: (filter) => countSagas(store, filter),
    show: (id) => of('show', id, () => showSaga(store, id)),
    figures: () => readFigures(store),
    retry: (id) => of('retry', id, () => retry(store, id)),
    skipStep: (id, options) => of('skipStep', id, () => skipStep(store, id, options)),
    forceUndo: (id) => of('forceUndo', id, () => forceUndo(store, id)),
    fork: (id, options) => of('fork', id, () => fork(store, id, options)),
    cancel: (id) => of('cancel', id, () => store.transaction((tx) => requestCancel(tx, id))),
    async purge(filter) {
      checkFilter(filter)
      if (filter.ids === undefined && filter.state === undefined) {
        return purgeEnded(store, {
          olderThanMs: filter.olderThanMs ?? 0,
          ...(filter.name !== undefined && { name: filter.name }),
        })
      }
      let removed = 0
      for (;;) {
        const count = await store.transaction(async (tx) => {
          const rows = await tx.query<{ id: string }>(
            sql`select id from ${store.table('saga')} as ended where ended_at_ms is not null and ${isUnasked(store)} and ${filterSql(store, filter)} limit 1000`,
          )
          await removeSagas(
            tx,
            rows.map((row) => row.id),
          )
          return rows.length
        })
        removed += count
        if (count < 1_000) return removed
      }
    },
  }
}

async function asked<T>(subject: string, id: string, work: () => Promise<T>): Promise<T> {
  checkArguments(subject, isName('id', id, ID_MAX))
  return work()
}
