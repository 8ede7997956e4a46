/**
 * A cluster that runs already, named by the environment: HOLDFAST_TEST_ETCD_CLUSTER or HOLDFAST_TEST_ZOOKEEPER_CLUSTER, the
 * addresses of its nodes with commas between. Its nodes are not ours to break, unless HOLDFAST_TEST_CLUSTER_COMMAND names a
 * program that does: it is run as `PROGRAM kill|start|cut|heal ADDRESS`, and is done when it ends with 0.
 */
import { spawnSync } from 'node:child_process'
import {
  type ClusterKind,
  type ClusterNode,
  type ClusterToTest,
  leaderOf,
  untilListening,
} from './cluster-node.ts'

/** A ZooKeeper whose configuration we do not know may grant no less than some seconds. */
const TTL_MS = 10_000

export function givenCluster(kind: ClusterKind): ClusterToTest | undefined {
  const variable = `HOLDFAST_TEST_${kind.toUpperCase()}_CLUSTER`
  const given = process.env[variable]
  if (given === undefined) return undefined
  const urls = given.split(',').map((url) => url.trim().replace(/\/$/, ''))
  if (urls.length < 3 || urls.includes('')) throw new Error(`${variable} must name three nodes or more`)
  const command = process.env.HOLDFAST_TEST_CLUSTER_COMMAND
  return {
    breakable: command !== undefined,
    ttlMs: TTL_MS,
    async open() {
      const nodes = urls.map((url) => new GivenNode(url, command))
      await leaderOf(kind, nodes)
      return {
        nodes,
        leader: () => leaderOf(kind, nodes),
        async [Symbol.asyncDispose]() {
          for (const node of nodes) await node.mend()
        },
      }
    },
  }
}

class GivenNode implements ClusterNode {
  readonly url: string
  readonly #command: string | undefined
  #killed = false
  #cut = false

  constructor(url: string, command: string | undefined) {
    this.url = url
    this.#command = command
  }

  async kill(): Promise<void> {
    this.#killed = true
    this.#run('kill')
  }

  async start(): Promise<void> {
    this.#run('start')
    await untilListening(this.url)
    this.#killed = false
  }

  cut(): void {
    this.#cut = true
    this.#run('cut')
  }

  heal(): void {
    this.#run('heal')
    this.#cut = false
  }

  /** A test that failed half way leaves the cluster as it found it. */
  async mend(): Promise<void> {
    if (this.#cut) this.heal()
    if (this.#killed) await this.start()
  }

  #run(action: 'kill' | 'start' | 'cut' | 'heal'): void {
    if (this.#command === undefined) throw new Error(`no command to ${action} ${this.url} with`)
    const { status, stderr, error } = spawnSync(this.#command, [action, this.url], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    if (status !== 0) throw new Error(`${this.#command} ${action} ${this.url}: ${error ?? stderr}`)
  }
}
