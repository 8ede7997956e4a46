import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Request {
  readonly headers: IncomingMessage['headers']
  /** The last segment of a path like `/menu/:dish`; empty where the route has none. */
  readonly name: string
  readonly body: unknown
}

export interface Response {
  readonly status: number
  readonly body: unknown
}

/** `'PUT /menu/:name'` → what answers it. An error that a handler throws becomes status 503, and the caller retries. */
export type Routes = Readonly<Record<string, (request: Request) => Promise<Response>>>

/** What reads the request and answers it by itself, as the middleware of a participant does. */
export type Handler = (
  incoming: IncomingMessage,
  outgoing: Pick<ServerResponse, 'writeHead' | 'end'>,
) => Promise<void>
export type Handlers = Readonly<Record<string, Handler>>

export interface ServeOptions {
  /** Decides, after the work is done, that the answer gets lost: the socket is destroyed. */
  readonly losesAnswer: (request: Pick<Request, 'headers'>) => boolean
  /** Taken before the routes. */
  readonly handlers?: Handlers
}

/** Serves `routes` on a free port of 127.0.0.1. */
export async function serve(
  routes: Routes,
  { losesAnswer, handlers = {} }: ServeOptions,
): Promise<{ port: number; server: Server }> {
  const server = createServer(async (incoming, outgoing) => {
    const handler = handlers[`${incoming.method} ${incoming.url}`]
    if (handler !== undefined) {
      await handler(incoming, losesAnswer(incoming) ? unheard(outgoing) : outgoing)
      return
    }
    const [route, name] = match(incoming.method ?? '', incoming.url ?? '', routes)
    let response: Response
    const request: Request = { headers: incoming.headers, name, body: await readJson(incoming) }
    try {
      response = route === undefined ? { status: 404, body: {} } : await route(request)
    } catch (error) {
      response = { status: 503, body: { error: (error as Error).message } }
    }
    if (losesAnswer(request)) {
      outgoing.destroy()
      return
    }
    outgoing.writeHead(response.status, { 'content-type': 'application/json' })
    outgoing.end(JSON.stringify(response.body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { port: (server.address() as AddressInfo).port, server }
}

/** Takes the answer and breaks the connection. */
function unheard(outgoing: ServerResponse): Parameters<Handler>[1] {
  return { writeHead: () => outgoing, end: () => outgoing.destroy() }
}

function match(method: string, url: string, routes: Routes): [Routes[string] | undefined, string] {
  const exact = routes[`${method} ${url}`]
  if (exact !== undefined) return [exact, '']
  const slash = url.lastIndexOf('/')
  return [routes[`${method} ${url.slice(0, slash)}/:name`], decodeURIComponent(url.slice(slash + 1))]
}

async function readJson(incoming: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const chunk of incoming.setEncoding('utf8')) text += chunk
  return text === '' ? undefined : JSON.parse(text)
}
