/**
 * Three-node clusters of etcd and ZooKeeper, each node in a network namespace of its own, so that one can be cut off from
 * the others and from us as a pulled cable would. Needs root on Linux and the Debian packages.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { describe } from 'vitest'
import {
  type Cluster,
  type ClusterKind,
  type ClusterNode,
  type ClusterToTest,
  leaderOf,
  untilListening,
} from './cluster-node.ts'
import { type TempFolder, tempFolder } from './files.ts'
import { givenCluster } from './given-cluster.ts'

const ZOOKEEPER_JAR = '/usr/share/java/zookeeper.jar'

/** Describes a suite on the cluster of the environment, else on one that it starts; else it is skipped, with the reason. */
export function describeWithCluster(
  kind: ClusterKind,
  title: string,
  suite: (cluster: ClusterToTest) => void,
): void {
  const own: ClusterToTest = { breakable: true, ttlMs: 2_000, open: () => startCluster(kind) }
  const given = givenCluster(kind)
  const missing = given === undefined ? whyNot(kind) : undefined
  if (missing === undefined) describe(title, () => suite(given ?? own))
  else describe.skip(`${title} (skipped: ${missing})`, () => suite(own))
}

function whyNot(kind: ClusterKind): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'network namespaces need root on Linux'
  if (spawnSync('ip', ['-V']).status !== 0) return 'the command ip (iproute2) is not installed'
  if (kind === 'etcd' && spawnSync('etcd', ['--version']).status !== 0) return 'etcd is not installed'
  if (kind === 'zookeeper' && !existsSync(ZOOKEEPER_JAR)) return 'zookeeper is not installed'
  const probe = `hfp${process.pid}`
  if (spawnSync('ip', ['netns', 'add', probe]).status !== 0)
    return 'this kernel lets us make no network namespace'
  ip('netns', 'del', probe)
  return undefined
}

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`)
}

let clusters = 0

async function startCluster(kind: ClusterKind): Promise<Cluster> {
  const folder = tempFolder(kind)
  const id = `${process.pid % 100_000}${(clusters++).toString(36)}`
  const bridge = `hfb${id}`
  const subnet = `10.${100 + (process.pid % 150)}.${clusters % 250}`
  const hosts = [2, 3, 4].map((last) => `${subnet}.${last}`)
  const undo: (() => void)[] = [() => folder.remove()]
  const cleanUp = (): void => {
    for (const action of undo.splice(0).reverse()) {
      try {
        action()
      } catch {
        // the rest is to be undone all the same
      }
    }
  }
  process.once('exit', cleanUp) // an interrupted run does not reach the end of the test
  try {
    ip('link', 'add', bridge, 'type', 'bridge')
    undo.push(() => ip('link', 'del', bridge))
    ip('addr', 'add', `${subnet}.1/24`, 'dev', bridge)
    ip('link', 'set', bridge, 'up')
    const nodes = hosts.map((host, i) => {
      const [space, outer, inner] = [`hfn${id}${i}`, `hfo${id}${i}`, `hfi${id}${i}`]
      ip('netns', 'add', space)
      undo.push(() => ip('netns', 'del', space))
      ip('link', 'add', outer, 'type', 'veth', 'peer', 'name', inner)
      ip('link', 'set', outer, 'master', bridge, 'up')
      ip('link', 'set', inner, 'netns', space)
      ip('-n', space, 'addr', 'add', `${host}/24`, 'dev', inner)
      ip('-n', space, 'link', 'set', inner, 'up')
      ip('-n', space, 'link', 'set', 'lo', 'up')
      const command = kind === 'etcd' ? etcdCommand(hosts, i, folder) : zookeeperCommand(hosts, i, folder)
      const node = new Node({ kind, host, space, outer, command, folder })
      undo.push(() => node.killNow())
      return node
    })
    await Promise.all(nodes.map((node) => node.start()))
    const leader = (): Promise<ClusterNode> => leaderOf(kind, nodes)
    await leader()
    return {
      nodes,
      leader,
      async [Symbol.asyncDispose]() {
        process.off('exit', cleanUp)
        await Promise.all(nodes.map((node) => node.kill()))
        cleanUp()
      },
    }
  } catch (error) {
    cleanUp()
    throw error
  }
}

function etcdCommand(hosts: readonly string[], i: number, folder: TempFolder): string[] {
  const client = `http://${hosts[i]}:2379`
  const peer = `http://${hosts[i]}:2380`
  return [
    ...['etcd', '--name', `n${i}`, '--data-dir', folder.file(`etcd-${i}`), '--log-level', 'error'],
    ...['--listen-client-urls', client, '--advertise-client-urls', client, '--listen-peer-urls', peer],
    ...['--initial-advertise-peer-urls', peer, '--initial-cluster-state', 'new'],
    ...['--initial-cluster', hosts.map((host, k) => `n${k}=http://${host}:2380`).join(',')],
  ]
}

function zookeeperCommand(hosts: readonly string[], i: number, folder: TempFolder): string[] {
  const data = folder.file(`zookeeper-${i}`)
  mkdirSync(data)
  writeFileSync(`${data}/myid`, `${i + 1}\n`)
  const config = folder.file(`zoo-${i}.cfg`)
  writeFileSync(
    config,
    [
      ...['tickTime=500', 'initLimit=20', 'syncLimit=6', `dataDir=${data}`, 'clientPort=2181'],
      ...['admin.enableServer=false', 'maxClientCnxns=0', '4lw.commands.whitelist=srvr'],
      ...hosts.map((host, k) => `server.${k + 1}=${host}:2888:3888`),
      '',
    ].join('\n'),
  )
  return [
    'java',
    '-Xmx128m',
    '-cp',
    ZOOKEEPER_JAR,
    'org.apache.zookeeper.server.quorum.QuorumPeerMain',
    config,
  ]
}

interface NodeParts {
  readonly kind: ClusterKind
  readonly host: string
  readonly space: string
  /** The end of its link that is in our namespace. */
  readonly outer: string
  readonly command: readonly string[]
  readonly folder: TempFolder
}

class Node implements ClusterNode {
  readonly url: string
  readonly #parts: NodeParts
  #child: ChildProcess | undefined

  constructor(parts: NodeParts) {
    this.url = parts.kind === 'etcd' ? `http://${parts.host}:2379` : `${parts.host}:2181`
    this.#parts = parts
  }

  async start(): Promise<void> {
    const { space, command, folder } = this.#parts
    const log = openSync(folder.file(`${space}.log`), 'a')
    this.#child = spawn('ip', ['netns', 'exec', space, ...command], {
      cwd: folder.path,
      stdio: ['ignore', log, log],
    })
    await untilListening(this.url)
  }

  killNow(): void {
    this.#child?.kill('SIGKILL')
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await exited
  }

  cut(): void {
    ip('link', 'set', this.#parts.outer, 'down')
  }

  heal(): void {
    ip('link', 'set', this.#parts.outer, 'up')
  }
}
