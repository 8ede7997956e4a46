import type { AddressInfo } from 'node:net'
import { connect, createServer, type Server, type Socket } from 'node:net'

export interface CuttingProxy {
  /** The same database, through the proxy. */
  url(url: string): string
  close(): void
}

/** How COMMIT ends on the wire: as a simple query by itself, or parsed behind the transaction's last statement. */
const COMMIT = Buffer.from('commit\0', 'latin1')

/**
 * Stands between the services and PostgreSQL and cuts a connection now and then when a COMMIT goes through: before the
 * server got it, or after, so that the answer never comes back.
 */
export async function startCuttingProxy(
  serverUrl: string,
  losesCommit: () => 'before' | 'after' | undefined,
): Promise<CuttingProxy> {
  const target = new URL(serverUrl)
  const sockets = new Set<Socket>()
  const server: Server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname)
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true)
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    let answered = true
    client.on('data', (chunk) => {
      const lost = chunk.includes(COMMIT) ? losesCommit() : undefined
      if (lost === 'before') client.destroy()
      else {
        if (lost === 'after') answered = false
        upstream.write(chunk)
      }
    })
    upstream.on('data', (chunk) => {
      if (answered) client.write(chunk)
      else client.destroy() // the server has answered, so the COMMIT is done; nobody hears of it
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    url(url) {
      const through = new URL(url)
      through.hostname = '127.0.0.1'
      through.port = String(port)
      return through.href
    },
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
