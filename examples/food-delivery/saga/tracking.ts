import { type OwnTransaction, sql } from 'holdfast'
import { once } from 'holdfast/effects'
import { fence, fencingHeader, readFencingHeader } from 'holdfast/fence'
import type { AttemptContext } from 'holdfast/saga'
import type { Routes } from '../shared/http.ts'

export type Attempt = Pick<AttemptContext, 'epoch' | 'key' | 'signal'>

/**
 * Tells the customer where the order is. Each word replaces the one before, so one that comes late must not be heard: the
 * epoch of the attempt goes along as a fencing token, and its key.
 */
export async function sayWhereItIs(
  send: typeof fetch,
  orderId: string,
  says: string,
  { epoch, key, signal }: Attempt,
): Promise<void> {
  const token = { mode: 'exclusive', name: resourceOf(orderId), token: epoch, holder: 'place-order' } as const
  const response = await send(`http://delivery/tracking/${orderId}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', 'idempotency-key': key, ...fencingHeader(token) },
    body: JSON.stringify({ says }),
    signal,
  })
  if (!response.ok) throw new Error(`the tracking page answered ${response.status}`)
}

/** The customer's page about each order: one line, the last that was said. */
export function trackingRoutes({
  transaction,
  fenced,
}: {
  transaction<T>(work: (tx: OwnTransaction) => Promise<T>): Promise<T>
  readonly fenced: boolean
}): Routes {
  return {
    async 'PUT /tracking/:name'({ name: orderId, headers, body }) {
      const { says } = body as { says: string }
      const lock = readFencingHeader(String(headers['fencing-token']))
      const write = async (tx: OwnTransaction): Promise<void> => {
        // Refuses what an attempt says that was overtaken by another process.
        if (fenced) await fence(tx, lock)
        // Drops a copy of what this process has said already; it may have said more since. A word of another process is none.
        const said = { scope: 'tracking', id: `${headers['idempotency-key']}/${lock.token}` }
        await once(tx, said, () =>
          tx.execute(
            sql`insert into tracking (order_id, says, at_ms) values (${orderId}, ${says}, ${Date.now()})
              on conflict (order_id) do update set says = excluded.says, at_ms = excluded.at_ms`,
          ),
        )
      }
      try {
        await transaction(write)
      } catch (error) {
        if ((error as { code?: string }).code !== 'STALE_FENCE') throw error
        return { status: 412, body: { error: { code: 'STALE_FENCE' } } } // for ever: not to be tried again
      }
      return { status: 200, body: {} }
    },
  }
}

function resourceOf(orderId: string): string {
  return `tracking/${orderId}`
}
