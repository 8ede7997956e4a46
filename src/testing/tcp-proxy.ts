import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import {
  checkArguments,
  checkOptions,
  isDurationOrZero,
  isFunction,
  isObject,
  isOneOf,
} from '../core/options.ts'

/** `up` is what the client sends to the server, `down` what comes back. */
export type Direction = 'up' | 'down'

export interface TcpProxyOptions {
  readonly target: { readonly host: string; readonly port: number }
  /**
   * Sees every piece before it is passed on, and may answer `cut` (the piece is lost and both ends are reset) or
   * `cut-after` (the piece still arrives and nothing else does: the receiver sees the end of the stream, the sender a
   * reset). Anything else passes the piece on.
   *
   * A piece is what one read of the socket gave: a short message is one piece on loopback.
   */
  readonly onPiece?: (
    piece: Buffer,
    direction: Direction,
    connection: number,
  ) => 'cut' | 'cut-after' | undefined
}

/** A TCP proxy that behaves as bad networks do. */
export interface TcpProxy extends AsyncDisposable {
  readonly host: string
  readonly port: number
  /** Connections that are open now. */
  readonly connections: number
  /** Adds `ms` to every piece from now on, in the order of arrival. */
  delay(ms: number): void
  /** Swallows what travels in `direction` (both when left out); connections stay open and say nothing. */
  blackHole(direction?: Direction): void
  /** Resets the connections that are open; new ones pass. */
  cut(): void
  /** Resets every new connection at once, as a server that is gone. */
  refuse(): void
  /** Undoes `delay`, `blackHole` and `refuse`. What was swallowed stays lost, so its connections stay broken. */
  heal(): void
  close(): Promise<void>
}

/** Starts a proxy on a free port of loopback. Close it, or write `await using proxy = …`. */
export async function tcpProxy(options: TcpProxyOptions): Promise<TcpProxy> {
  checkArguments('tcpProxy', isObject('options', options))
  const { target, onPiece } = options
  checkOptions(
    'tcpProxy',
    options,
    ['target', 'onPiece'],
    [isObject('target', target), onPiece === undefined || isFunction('onPiece', onPiece)],
  )
  const pairs = new Set<readonly [Socket, Socket]>()
  const swallowed = new Set<Direction>()
  let delayMs = 0
  let refusing = false
  let count = 0

  const server = createServer({ allowHalfOpen: true }, (client) => {
    const number = ++count
    client.on('error', () => client.destroy())
    if (refusing) {
      client.resetAndDestroy()
      return
    }
    const upstream = connect({ ...target, allowHalfOpen: true })
    const pair = [client, upstream] as const
    pairs.add(pair)
    const reset = (): void => {
      for (const socket of pair) if (!socket.destroyed) socket.resetAndDestroy()
      pairs.delete(pair)
    }
    const forward = (from: Socket, to: Socket, direction: Direction): void => {
      // Pieces and the end of the stream keep their order behind a delay.
      let line: Promise<void> = Promise.resolve()
      const inLine = (action: () => void): void => {
        const waitMs = delayMs
        const due = waitMs === 0 ? undefined : new Promise<void>((resolve) => setTimeout(resolve, waitMs))
        line = line.then(() => due).then(action)
      }
      from.setNoDelay(true)
      from.on('data', (piece: Buffer) => {
        if (swallowed.has(direction)) return
        const verdict = onPiece?.(piece, direction, number)
        if (verdict === 'cut') return reset()
        inLine(() => {
          if (to.destroyed || swallowed.has(direction)) return
          if (verdict !== 'cut-after') return void to.write(piece)
          pairs.delete(pair)
          from.resetAndDestroy()
          to.resume().end(piece) // a reset here could overtake the piece
        })
      })
      from.on('end', () => {
        if (!swallowed.has(direction)) inLine(() => void to.end())
      })
      from.on('error', reset)
      from.on('close', () => {
        if (upstream.destroyed && client.destroyed) pairs.delete(pair)
      })
    }
    forward(client, upstream, 'up')
    forward(upstream, client, 'down')
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve)
  })

  const cut = (): void => {
    for (const pair of pairs) for (const socket of pair) if (!socket.destroyed) socket.resetAndDestroy()
    pairs.clear()
  }
  async function close(): Promise<void> {
    cut()
    if (server.listening) await new Promise((resolve) => server.close(resolve))
  }
  return {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    get connections() {
      return pairs.size
    },
    delay: (ms) => {
      checkArguments('tcpProxy.delay', isDurationOrZero('ms', ms))
      delayMs = ms
    },
    blackHole: (direction) => {
      if (direction !== undefined)
        checkArguments('tcpProxy.blackHole', isOneOf('direction', direction, ['up', 'down']))
      for (const one of direction === undefined ? (['up', 'down'] as const) : [direction]) swallowed.add(one)
    },
    cut,
    refuse: () => {
      refusing = true
    },
    heal: () => {
      delayMs = 0
      refusing = false
      swallowed.clear()
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
