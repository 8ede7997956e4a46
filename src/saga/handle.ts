import { throwIfAborted } from '../core/abort.ts'
import { checkArguments, checkOptions, isName, optionsOf } from '../core/options.ts'
import { isStore, isTransaction } from '../store/arguments.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import type { SagaState } from './entry.ts'
import {
  type ErrorRecord,
  SagaCancelledError,
  SagaFailedError,
  SagaNotFoundError,
  SagaStuckError,
} from './errors.ts'
import { type Ended, runnersOf } from './local.ts'
import { insertSignal, requestCancel } from './signals.ts'
import { decodeValue, encodeValue } from './value.ts'

export interface SagaHandle<Output = unknown> {
  readonly id: string
  /**
   * Waits for the end, here or in another process.
   *
   * @throws SagaFailedError or SagaCancelledError once everything is given back; SagaStuckError when a person has to
   * decide; SagaNotFoundError when there is no such saga (or its start has not committed)
   */
  result(options?: { readonly signal?: AbortSignal }): Promise<Output>
  state(): Promise<SagaState>
  /**
   * Asks the saga to go back. One that is past its pivot, or has ended, goes on as it is. False when it has ended.
   */
  cancel(options?: { readonly tx?: Transaction }): Promise<boolean>
  /**
   * Sends a signal, which `s.receive(name)` gives to the saga's code; kept until it asks. With an `id`, a repetition
   * counts once. False when the saga has ended.
   */
  signal(
    name: string,
    payload?: unknown,
    options?: { readonly id?: string; readonly tx?: Transaction },
  ): Promise<boolean>
}

/** The first and the longest pause between two looks at a saga that runs in another process. */
const LOOK_MS = { first: 10, longest: 250 }

export function sagaHandle<Output>(store: Store, id: string): SagaHandle<Output> {
  checkArguments('saga handle', isStore(store), isName('id', id, 500))

  async function read(): Promise<Ended & { ended: boolean }> {
    const [row] = await store.read<Ended & { ended_at_ms: unknown }>(
      sql`select state, output, reason, ended_at_ms from ${store.table('saga')} where id = ${id}`,
    )
    if (row === undefined) throw new SagaNotFoundError(id)
    return { state: row.state, output: row.output, reason: row.reason, ended: row.ended_at_ms !== null }
  }

  function poke(): void {
    for (const runner of runnersOf(store)) runner.poke(id)
  }

  /** In the caller's transaction, or in one of its own; the saga's runner is told when that is known to be committed. */
  async function change(
    tx: Transaction | undefined,
    work: (tx: Transaction) => Promise<boolean>,
  ): Promise<boolean> {
    if (tx !== undefined) {
      const changed = await work(tx)
      if (!tx.joined) tx.afterCommit(poke)
      return changed
    }
    const changed = await store.transaction(work)
    poke()
    return changed
  }

  async function assertKnown(changed: boolean): Promise<boolean> {
    if (!changed) await read()
    return changed
  }

  return {
    id,
    async result(options = {}) {
      const { signal } = optionsOf('saga.result', options)
      checkOptions('saga.result', options, ['signal'], [])
      for (let waitMs = LOOK_MS.first; ; waitMs = Math.min(waitMs * 1.5, LOOK_MS.longest)) {
        throwIfAborted(signal)
        const local = localEnd(store, id)
        if (local !== undefined) {
          const ended = await (signal === undefined ? local : Promise.race([local, aborted(signal)]))
          if (ended.state !== 'running') return settle<Output>(id, ended)
        }
        const row = await read()
        if (row.ended || row.state === 'stuck') return settle<Output>(id, row)
        await store.clock.sleep(waitMs, signal)
      }
    },
    state: async () => (await read()).state,
    async cancel(options = {}) {
      const { tx } = optionsOf('saga.cancel', options)
      checkOptions('saga.cancel', options, ['tx'], [tx === undefined || isTransaction(tx)])
      return assertKnown(await change(tx, (t) => requestCancel(t, id)))
    },
    async signal(name, payload, options = {}) {
      const { id: signalId, tx } = optionsOf('saga.signal', options)
      checkOptions(
        'saga.signal',
        options,
        ['id', 'tx'],
        [
          isName('the name', name, 600),
          signalId === undefined || isName('id', signalId, 400),
          tx === undefined || isTransaction(tx),
        ],
      )
      const text = encodeValue(`signal "${name}"`, payload)
      const signal = { sagaId: id, name, payload: text, ...(signalId !== undefined && { id: signalId }) }
      return assertKnown(await change(tx, (t) => insertSignal(t, signal)))
    },
  }
}

function localEnd(store: Store, id: string): Promise<Ended> | undefined {
  for (const runner of runnersOf(store)) {
    const ended = runner.ended(id)
    if (ended !== undefined) return ended
  }
  return undefined
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

function settle<Output>(id: string, { state, output, reason }: Ended): Output {
  if (state === 'completed') return decodeValue(output) as Output
  const error = JSON.parse(reason ?? '{}') as ErrorRecord
  if (state === 'cancelled') throw new SagaCancelledError(id, error.message)
  if (state === 'stuck') throw new SagaStuckError(id, error.message)
  throw new SagaFailedError(id, error)
}
