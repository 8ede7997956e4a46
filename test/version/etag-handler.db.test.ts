import type { AddressInfo } from 'node:net'
import { postgres } from 'holdfast/postgres'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { dishServer, SCHEMA } from '../../examples/etag-handler/handler.ts'
import { type FreshPool, freshPool } from '../support/postgres.ts'

let database: FreshPool
let server: ReturnType<typeof dishServer>
let url: string
beforeAll(async () => {
  database = await freshPool()
  await database.pool.query(SCHEMA)
  server = dishServer(postgres(database.pool))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/dishes`
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await database.drop()
})
beforeEach(() =>
  database.pool.query(`truncate dish; insert into dish (id, name, price) values ('a', 'soup', 5)`),
)

const get = async () => {
  const response = await fetch(`${url}/a`)
  return { etag: response.headers.get('etag'), dish: await response.json() }
}
const put = (ifMatch: string | undefined, body: unknown = { name: 'stew', price: 6 }) =>
  fetch(`${url}/a`, {
    method: 'PUT',
    body: JSON.stringify(body),
    headers: ifMatch === undefined ? {} : { 'if-match': ifMatch },
  })

describe('the ETag handler', () => {
  it('takes an update of the version that was read, once', async () => {
    const { etag } = await get()
    expect(etag).toBe('"1"')
    const first = await put(etag as string)
    expect([first.status, first.headers.get('etag')]).toEqual([200, '"2"'])
    expect((await put(etag as string)).status).toBe(412)
    expect(await get()).toEqual({ etag: '"2"', dish: { name: 'stew', price: 6 } })
  })

  it.each([
    ['none', undefined, 428],
    ['a stale one', '"0"', 412],
    ['a weak one', 'W/"1"', 412],
    ['a list with the right one', '"0", "1"', 200],
    ['any', '*', 200],
    ['nonsense', '1', 400],
  ])('If-Match: %s', async (_name, header, status) => {
    expect((await put(header)).status).toBe(status)
  })

  it('of twenty at once from one version, one wins', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => put('"1"')))
    expect(answers.map((a) => a.status).sort()).toEqual([200, ...Array.from({ length: 19 }, () => 412)])
    expect((await get()).etag).toBe('"2"')
  })

  it('what is no dish, or not there, changes nothing', async () => {
    expect((await put('"1"', { name: 'stew' })).status).toBe(400)
    expect((await fetch(`${url}/none`)).status).toBe(404)
    expect((await get()).etag).toBe('"1"')
  })
})
