import { httpPeer } from 'holdfast/replica'
import { describe, expect, it } from 'vitest'
import { cartReplica, cartServer } from '../../examples/etag-replica/server.ts'
import type { StoreAt } from '../support/store-at.ts'
import { freshStore } from '../support/stores.ts'

const MEMBERS = ['berlin', 'paris']
const SECRET = 'only in this test'

/** The application of one member, asked without a socket in between. */
function open({ store }: StoreAt, id: string) {
  const replica = cartReplica(store, id, MEMBERS)
  const app = cartServer(store, replica, SECRET)
  const ask = async (method: string, headers: Record<string, string> = {}, body?: unknown) => {
    const response = await app.request('/carts/c1', {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return {
      status: response.status,
      etag: response.headers.get('etag') ?? '',
      headers: response.headers,
      body: text === '' ? undefined : JSON.parse(text),
    }
  }
  const link = httpPeer({
    url: 'http://peer/replica',
    headers: { authorization: `Bearer ${SECRET}` },
    fetch: ((_url: string, init: RequestInit) => app.request('/replica', init)) as unknown as typeof fetch,
  })
  return { id, store, replica, app, ask, link }
}

describe('records over HTTP', () => {
  it('a write needs what it replaces, and replaces only what was read', async () => {
    await using opened = await freshStore('sqlite')
    const { ask } = open(opened, 'berlin')
    expect(await ask('GET')).toMatchObject({ status: 404 })
    expect(await ask('PUT', {}, ['pear'])).toMatchObject({ status: 428 })
    const made = await ask('PUT', { 'if-none-match': '*' }, ['pear'])
    expect(made).toMatchObject({ status: 200, body: ['pear'] })
    expect(await ask('PUT', { 'if-none-match': '*' }, ['plum'])).toMatchObject({ status: 412 })
    const read = await ask('GET')
    expect(read).toMatchObject({ status: 200, body: ['pear'], etag: made.etag })
    expect(read.headers.get('replica')).toBe('berlin')
    expect(await ask('GET', { 'if-none-match': read.etag })).toMatchObject({ status: 304, body: undefined })
    const changed = await ask('PUT', { 'if-match': read.etag }, ['pear', 'fig'])
    expect(changed.status).toBe(200)
    expect(await ask('PUT', { 'if-match': read.etag }, ['lost'])).toMatchObject({
      status: 412,
      body: { error: 'REPLICA_STALE_CONTEXT' },
    })
    expect(await ask('DELETE', { 'if-match': changed.etag })).toMatchObject({ status: 204 })
    expect(await ask('GET')).toMatchObject({ status: 404 })
  })

  it.each([
    ['PUT', { 'if-match': '"made-up"' }, ['x'], 400],
    ['PUT', { 'if-match': 'W/"weak"' }, ['x'], 400],
    ['PUT', { 'if-match': '*' }, ['x'], 412],
    ['PUT', { 'if-none-match': '*' }, undefined, 400],
    ['POST', {}, ['x'], 405],
    ['GET', { 'replica-context': 'nonsense' }, undefined, 400],
  ])('%s with %o is refused', async (method, headers, body, status) => {
    await using opened = await freshStore('sqlite')
    const answer = await open(opened, 'berlin').ask(method, headers as never, body)
    expect([answer.status, answer.headers.get('replica'), answer.headers.get('replica-stale-ms')]).toEqual([
      status,
      'berlin',
      'unknown', // nothing was ever pulled from paris
    ])
  })

  it('a client that goes to another replica never misses its own write', async () => {
    await using one = await freshStore('sqlite')
    await using two = await freshStore('sqlite')
    const [berlin, paris] = [open(one, 'berlin'), open(two, 'paris')]
    const { etag } = await berlin.ask('PUT', { 'if-none-match': '*' }, ['pear'])
    const early = await paris.ask('GET', { 'replica-context': etag })
    expect(early).toMatchObject({ status: 503, body: { error: 'REPLICA_BEHIND' } })
    expect(early.headers.get('retry-after')).toBe('1')
    await using running = paris.replica.start({ peers: { berlin: berlin.link } })
    await running.pull('berlin')
    expect(await paris.ask('GET', { 'replica-context': etag })).toMatchObject({ status: 200, body: ['pear'] })
    const there = await paris.ask('PUT', { 'if-match': etag }, ['pear', 'plum'])
    expect(there).toMatchObject({ status: 200 })
    expect(Number(there.headers.get('replica-stale-ms'))).toBeLessThan(60_000)
    // What is not here yet cannot be replaced here: the token is of paris, and berlin has not pulled.
    expect(await berlin.ask('PUT', { 'if-match': there.etag }, [])).toMatchObject({ status: 503 })
  })

  it('a peer that is not let in, or asks nonsense, gets nothing', async () => {
    await using opened = await freshStore('sqlite')
    const { app } = open(opened, 'berlin')
    const ask = (body: string, authorization: string) =>
      app.request('/replica', { method: 'POST', body, headers: { authorization } })
    expect((await ask('{}', 'Bearer guess')).status).toBe(401)
    for (const body of ['', '{', 'null', '{"v":1}', '{"v":1,"set":"default","from":"berlin","ask":"sums"}']) {
      expect((await ask(body, `Bearer ${SECRET}`)).status, body).toBe(400)
    }
    for (const question of [
      { ask: 'everything' },
      { ask: 'vectors', bucket: 256 },
      { ask: 'vectors', bucket: 1, after: ['cart'] },
      { ask: 'states', records: [['cart', '']] },
      { ask: 'pulled', atMs: -1 },
    ]) {
      const body = JSON.stringify({ v: 1, set: 'default', from: 'paris', ...question })
      expect((await ask(body, `Bearer ${SECRET}`)).status, body).toBe(400)
    }
  })
})
