/** One saga with a step of each kind that has an effect, and one that may be let wait, or may kill its process. */
import { type OwnTransaction, type Store, sql } from 'holdfast'
import { createOutbox } from 'holdfast/outbox'
import { type Saga, saga } from 'holdfast/saga'
import { failpoint } from 'holdfast/testing'

export interface TripPlaces {
  readonly own: Store
  readonly other: Store
  /** Of a participant over HTTP. */
  readonly url?: string | undefined
}

export interface Trip {
  /** Kills the process that runs it, at its second step. */
  readonly poison?: boolean
}

const note = (tx: OwnTransaction, id: string, what: string) =>
  tx.execute(sql`insert into effects (saga, what) values (${id}, ${what})`)

export function tripSaga({ own, other, url }: TripPlaces): Saga<Trip, string> {
  return saga('trip', async (s, { poison = false }: Trip) => {
    const id = s.sagaId
    await s.transaction('own', own, (tx) => note(tx, id, 'own'), { undo: (tx) => note(tx, id, 'undo own') })
    if (poison) await s.step('poison', () => process.kill(process.pid, 'SIGKILL'))
    await s.transaction('other', other, (tx) => note(tx, id, 'other'), {
      undo: (tx) => note(tx, id, 'undo other'),
    })
    if (url !== undefined) {
      // Between having its key and its epoch, and sending them.
      const send: typeof fetch = async (target, init) => {
        await failpoint('trip.send')
        return fetch(target, init)
      }
      await s.http('http', { url, fetch: send, input: { account: id, amount: 1 }, undo: true })
    }
    await s.step('last', () => 'there')
    return 'arrived'
  })
}

/** Notes the tick that it was started for. */
export function tickSaga({ own }: Pick<TripPlaces, 'own'>): Saga<string, number> {
  return saga('tick', (s, at: string) => s.transaction('note', own, (tx) => note(tx, 'tick', at)))
}

/** Asks by message, and gives the answer. */
export function askSaga({ own }: Pick<TripPlaces, 'own'>): Saga<undefined, number> {
  const outbox = createOutbox(own)
  return saga('ask', (s) => s.message<number>('ask', { outbox, topic: 'question', payload: {}, reply: {} }))
}
