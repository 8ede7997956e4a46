/** An HTTP handler whose PUT never overwrites what its caller has not seen. Plain node:http; any framework will do. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Store } from 'holdfast'
import { fulfilsIfMatch, parseIfMatch, readVersioned, toEtag, updateVersioned } from 'holdfast/version'

interface Dish {
  readonly id: string
  readonly name: string
  readonly price: number
}

export const SCHEMA =
  'create table dish (id varchar(40) primary key, name varchar(200) not null, price integer not null, version bigint not null default 1)'

/** `GET /dishes/ID` gives the dish with its ETag; `PUT /dishes/ID` needs that ETag in `If-Match`. */
export function dishServer(store: Store): Server {
  return createServer((request, response) => {
    answer(store, request, response).catch((error: { code?: string }) => {
      const status = { VERSION_CONFLICT: 412, PAYLOAD_INVALID: 400 }[error.code ?? ''] ?? 500
      send(response, status, { error: error.code ?? 'INTERNAL' })
    })
  })
}

async function answer(store: Store, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const id = /^\/dishes\/([^/?]+)$/.exec(request.url ?? '')?.[1]
  if (id === undefined) return send(response, 404, { error: 'NOT_FOUND' })
  const key = { id: decodeURIComponent(id) }

  if (request.method === 'GET') {
    const dish = await store.transaction((tx) => readVersioned<Dish>(tx, 'dish', key), { readOnly: true })
    if (dish === undefined) return send(response, 404, { error: 'NOT_FOUND' })
    const { name, price } = dish.row
    return send(response, 200, { name, price }, toEtag(dish.version))
  }
  if (request.method !== 'PUT') return send(response, 405, { error: 'METHOD' })

  const condition = parseIfMatch(request.headers['if-match'])
  if (condition.kind === 'absent') return send(response, 428, { error: 'IF_MATCH_REQUIRED' })
  const { name, price } = await readDish(request)
  const version = await store.transaction(async (tx) => {
    const current = await readVersioned<Dish>(tx, 'dish', key)
    if (current === undefined || !fulfilsIfMatch(condition, current.version)) return undefined
    // Another PUT may land between the read and this update, which then finds another version: 412 as well.
    return updateVersioned(tx, 'dish', key, current.version, { name, price })
  })
  if (version === undefined) return send(response, 412, { error: 'PRECONDITION_FAILED' })
  return send(response, 200, { name, price }, toEtag(version))
}

async function readDish(request: IncomingMessage): Promise<Pick<Dish, 'name' | 'price'>> {
  let text = ''
  for await (const piece of request.setEncoding('utf8')) {
    text += piece
    if (text.length > 10_000) throw Object.assign(new Error('too long'), { code: 'PAYLOAD_INVALID' })
  }
  try {
    const { name, price } = JSON.parse(text) as Partial<Dish>
    if (typeof name === 'string' && Number.isInteger(price)) return { name, price: price as number }
  } catch {
    // Not JSON at all: the same answer.
  }
  throw Object.assign(new Error('not a dish'), { code: 'PAYLOAD_INVALID' })
}

function send(response: ServerResponse, status: number, body: object, etag?: string): void {
  response.writeHead(status, { 'content-type': 'application/json', ...(etag && { etag }) })
  response.end(JSON.stringify(body))
}
