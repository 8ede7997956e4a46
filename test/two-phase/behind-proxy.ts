import { type TcpProxy, tcpProxy } from 'holdfast/testing'
import type { Addresses, Victim } from './stores.ts'

/** The same databases, one of them behind a proxy that may refuse. */
export async function behindProxy(
  at: Addresses,
  victim: Victim,
): Promise<{ readonly at: Addresses; readonly proxy: TcpProxy }> {
  const url = new URL(at[victim])
  const proxy = await tcpProxy({ target: { host: url.hostname, port: Number(url.port) } })
  url.port = String(proxy.port)
  return { proxy, at: { ...at, [victim]: url.href } }
}
