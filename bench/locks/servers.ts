import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../lib/clients.ts'

export interface RunningServer {
  readonly url: string
  stop(): void
}

/** HOLDFAST_BENCH_REDIS_URL, else an installed redis-server in memory; undefined where there is none. */
export async function startRedis(): Promise<RunningServer | undefined> {
  const given = process.env.HOLDFAST_BENCH_REDIS_URL
  if (given) return { url: given, stop: () => {} }
  const port = await freePort()
  return start('redis-server', ['--bind', '127.0.0.1', '--port', `${port}`, '--save', ''], port, 'redis')
}

/** HOLDFAST_BENCH_ETCD_URL, else an installed etcd, one node. */
export async function startEtcd(): Promise<RunningServer | undefined> {
  const given = process.env.HOLDFAST_BENCH_ETCD_URL
  if (given) return { url: given, stop: () => {} }
  const [port, peerPort] = [await freePort(), await freePort()]
  const [url, peer] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`]
  const args = ['--listen-client-urls', url, '--advertise-client-urls', url, '--listen-peer-urls', peer]
  return start(
    'etcd',
    [
      ...args,
      '--initial-advertise-peer-urls',
      peer,
      '--initial-cluster',
      `default=${peer}`,
      '--log-level',
      'error',
    ],
    port,
    'http',
  )
}

async function start(
  command: string,
  args: readonly string[],
  port: number,
  scheme: string,
): Promise<RunningServer | undefined> {
  const cwd = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  const child: ChildProcess = spawn(command, args, { cwd, stdio: 'ignore' })
  let missing = false
  child.once('error', () => {
    missing = true
  })
  let listening = false
  const look = setInterval(() => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      listening = true
      socket.destroy()
    })
    socket.once('error', () => socket.destroy())
  }, 50)
  await until(command, () => listening || missing, 15_000)
  clearInterval(look)
  const stop = (): void => {
    child.kill('SIGKILL')
    rmSync(cwd, { recursive: true, force: true, maxRetries: 5 })
  }
  if (missing) {
    rmSync(cwd, { recursive: true, force: true })
    return undefined
  }
  return { url: `${scheme}://127.0.0.1:${port}`, stop }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
