import type { ZookeeperLike } from './zookeeper-client.ts'

/** What node-zookeeper-client 1.1.3 keeps inside, as far as it has to be mended. Each is left alone where it is missing. */
interface Inside {
  readonly connectionManager?: {
    on?(event: 'state', listener: (state: number) => void): void
    setState?(state: number): void
    pendingBuffer?: unknown
    socket?: { destroy(): void }
    connectTimeoutHandler?: NodeJS.Timeout | null
  }
}

const [DISCONNECTED, CLOSING] = [0, -1]

/**
 * The driver keeps what it has of a packet when its connection is lost, and takes what the next one says for the rest of it: its
 * answers are then noise, and it throws where nobody can catch, which ends the process. The client itself says
 * `disconnected` only of a connection whose greeting it had read.
 */
export function forgetHalfPackets(client: ZookeeperLike): void {
  const { connectionManager: manager } = client as Inside
  manager?.on?.('state', (state) => {
    if (state === DISCONNECTED && manager.pendingBuffer) manager.pendingBuffer = null
  })
}

/**
 * Ends a client that is not connected. Its own `close` then sends the end of the session before its beginning, takes the
 * server's greeting for the answer, and throws where nobody can catch.
 */
export function abandon(client: ZookeeperLike): void {
  const { connectionManager: manager } = client as Inside
  if (manager?.setState === undefined) {
    client.close()
    return
  }
  if (manager.connectTimeoutHandler) clearTimeout(manager.connectTimeoutHandler)
  manager.setState(CLOSING) // it does not connect again
  manager.socket?.destroy()
}
