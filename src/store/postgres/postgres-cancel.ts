import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { StoreUnavailableError } from '../errors.ts'
import type { PgClientLike } from './postgres-client.ts'

const CANCEL_CODE = 80_877_102
const TLS_CODE = 80_877_103

/** The longest that a cancel request may take. */
const CANCEL_WAIT_MS = 1_000

/**
 * Asks the server to stop the statement that `client` runs, by the protocol's cancel request: it needs no login and no
 * free connection slot, and it passes through connection poolers.
 *
 * Guarantee: when this fulfils, the request has been dealt with and can hit no later statement of the connection (the
 * server closes the connection of the request after it has signalled the backend). Bounds: one second.
 * @throws StoreUnavailableError when the request may be under way still, or could not be made
 * @see PostgreSQL manual, Message Flow, "Canceling Requests in Progress"
 */
export async function cancelStatement(client: PgClientLike): Promise<void> {
  const { processID, secretKey, host, port, ssl } = client
  if (typeof processID !== 'number' || typeof secretKey !== 'number' || !host || !port) {
    throw new StoreUnavailableError('the driver gives no key to cancel a statement with', 'not-applied')
  }
  const request = Buffer.alloc(16)
  request.writeInt32BE(16, 0)
  request.writeInt32BE(CANCEL_CODE, 4)
  request.writeInt32BE(processID, 8)
  request.writeInt32BE(secretKey, 12)

  const plain = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect({ host, port })
  let wire: Socket = plain
  let timer: NodeJS.Timeout | undefined
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${CANCEL_WAIT_MS} ms`)), CANCEL_WAIT_MS)
      plain.on('error', reject)
      plain.once('connect', () => {
        if (!ssl) return send(plain)
        plain.once('data', ([answer]) => {
          if (answer !== 'S'.charCodeAt(0)) return reject(new Error('the server takes no TLS'))
          const servername = isIP(host) ? undefined : host
          wire = connectTls({
            ...(ssl === true ? {} : ssl),
            ...(servername && { servername }),
            socket: plain,
          })
          wire.on('error', reject)
          wire.once('secureConnect', () => send(wire))
        })
        const handshake = Buffer.alloc(8)
        handshake.writeInt32BE(8, 0)
        handshake.writeInt32BE(TLS_CODE, 4)
        plain.write(handshake)
      })
      function send(socket: Socket): void {
        socket.once('end', resolve).once('close', resolve).resume()
        socket.write(request)
      }
    })
  } catch (cause) {
    throw new StoreUnavailableError('the request to cancel a statement got no answer', 'not-applied', {
      cause,
    })
  } finally {
    clearTimeout(timer)
    wire.destroy()
    plain.destroy()
  }
}
