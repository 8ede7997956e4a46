/** Carts in several stores over HTTP: nobody overwrites what he has not seen, whichever replica he talks to. */

import type { Store } from 'holdfast'
import { answerPeerRequest, answerRecord, collection, createReplica } from 'holdfast/replica'
import { Hono } from 'hono'

export const COLLECTIONS = {
  cart: collection<readonly string[]>({ merge: 'multi-value', onStale: 'refuse' }),
}

export function cartReplica(store: Store, id: string, members: readonly string[]) {
  return createReplica(store, { id, members, collections: COLLECTIONS })
}

/** `/carts/KEY` for clients; `/replica` for the other members, who know the secret. */
export function cartServer(store: Store, replica: ReturnType<typeof cartReplica>, secret: string): Hono {
  const app = new Hono()
  app.all('/carts/:key', async ({ req }) => {
    const text = await req.text()
    const { status, headers, body } = await answerRecord(
      { replica, store, collection: 'cart' },
      {
        method: req.method,
        key: req.param('key'),
        header: (name) => req.header(name),
        ...(text !== '' && { body: { text } }),
      },
    )
    return new Response(body === '' ? null : body, { status, headers })
  })
  app.post('/replica', async ({ req }) => {
    if (req.header('authorization') !== `Bearer ${secret}`) return new Response(null, { status: 401 })
    const { status, body } = await answerPeerRequest(replica, await req.text())
    return new Response(body, { status, headers: { 'content-type': 'application/json' } })
  })
  return app
}
