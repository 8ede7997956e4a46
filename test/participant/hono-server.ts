import { createServer } from 'node:http'
import type { Hono } from 'hono'
import { listen, type Service } from './listen.ts'

/** Hono speaks the Request and Response of the web; this is what stands between them and Node's server. */
export function serve(app: Hono): Promise<Service> {
  return listen(
    createServer(async (request, response) => {
      const chunks: Uint8Array[] = []
      for await (const chunk of request) chunks.push(chunk as Uint8Array)
      const headers = new Headers()
      for (const [name, value] of Object.entries(request.headers)) {
        if (typeof value === 'string') headers.set(name, value)
      }
      const answer = await app.fetch(
        new Request(`http://127.0.0.1${request.url}`, {
          method: request.method ?? 'GET',
          headers,
          ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
        }),
      )
      response.writeHead(answer.status, Object.fromEntries(answer.headers))
      response.end(await answer.text())
    }),
  )
}
