/** What the fault suite needs of a node of etcd or ZooKeeper, wherever it runs. */
import { connect } from 'node:net'
import { isListening } from './ports.ts'
import { until } from './wait.ts'

export type ClusterKind = 'etcd' | 'zookeeper'

export interface ClusterNode {
  /** `http://host:port` of etcd, `host:port` of ZooKeeper. */
  readonly url: string
  /** SIGKILL. */
  kill(): Promise<void>
  start(): Promise<void>
  /** Takes its network link down: neither the others nor any client reaches it. */
  cut(): void
  heal(): void
}

export interface Cluster extends AsyncDisposable {
  readonly nodes: readonly ClusterNode[]
  leader(): Promise<ClusterNode>
}

export interface ClusterToTest {
  /** False where the nodes themselves are to be left alone: they run already, and nothing is named that may break them. */
  readonly breakable: boolean
  /** A lease that it grants. */
  readonly ttlMs: number
  open(): Promise<Cluster>
}

/** The node that leads, once there is one. */
export function leaderOf<N extends { readonly url: string }>(
  kind: ClusterKind,
  nodes: readonly N[],
): Promise<N> {
  return until(
    async () => {
      const leading = await Promise.all(nodes.map((node) => leads(kind, node.url)))
      return nodes.find((_, i) => leading[i])
    },
    { deadlineMs: 60_000, everyMs: 100, what: `${kind} to have a leader` },
  )
}

export async function untilListening(url: string): Promise<void> {
  const { hostname, port } = addressOf(url)
  await until(() => isListening(port, hostname), {
    deadlineMs: 60_000,
    everyMs: 50,
    what: `${url} to listen`,
  })
}

/** False also when it does not answer. */
async function leads(kind: ClusterKind, url: string): Promise<boolean> {
  try {
    return kind === 'etcd' ? await etcdLeads(url) : (await srvr(url)).includes('Mode: leader')
  } catch {
    return false
  }
}

async function etcdLeads(url: string): Promise<boolean> {
  const response = await fetch(`${url}/v3/maintenance/status`, {
    method: 'POST',
    body: '{}',
    signal: AbortSignal.timeout(1_000),
  })
  const status = (await response.json()) as { leader?: string; header?: { member_id: string } }
  return status.leader !== undefined && status.leader === status.header?.member_id
}

/** The only one of ZooKeeper's four-letter words that is allowed by default. */
function srvr(url: string): Promise<string> {
  const { hostname, port } = addressOf(url)
  return new Promise((resolve, reject) => {
    const socket = connect(port, hostname)
    let text = ''
    socket.setTimeout(1_000, () => socket.destroy(new Error('no answer')))
    socket.on('connect', () => socket.write('srvr'))
    socket.on('data', (data) => {
      text += data.toString()
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(text))
  })
}

function addressOf(url: string): { hostname: string; port: number } {
  const { hostname, port } = new URL(url.includes('://') ? url : `tcp://${url}`)
  return { hostname, port: Number(port) }
}
