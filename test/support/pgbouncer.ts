import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inject } from 'vitest'
import { freePorts, isListening } from './ports.ts'
import { findBinary, launch, type Server, shared } from './servers.ts'

/**
 * PgBouncer in transaction mode before the tests' PostgreSQL; its URL leads to the same databases. Each transaction may
 * run on another of few connections, so nothing that a session holds (a lock, a setting, a prepared statement) can be
 * relied on.
 */
export async function pgbouncerServer(): Promise<Server> {
  const binary = findBinary('pgbouncer', ['/usr/sbin'])
  if (binary === undefined) return { missing: 'pgbouncer is not installed' }
  return shared('pgbouncer', async (folder) => {
    const [port = 0] = await freePorts(1)
    const { hostname, port: serverPort, username, password } = new URL(inject('postgresUrl'))
    const settings = {
      listen_addr: '127.0.0.1',
      listen_port: port,
      unix_socket_dir: '',
      auth_type: 'trust',
      auth_file: join(folder, 'users.txt'),
      pool_mode: 'transaction',
      default_pool_size: 6,
      max_client_conn: 1_000,
      ignore_startup_parameters: 'extra_float_digits',
      server_idle_timeout: 5,
    }
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`)
    writeFileSync(
      join(folder, 'pgbouncer.ini'),
      `[databases]\n* = host=${hostname} port=${serverPort || 5432}\n[pgbouncer]\n${lines.join('\n')}\n`,
    )
    const quoted = [username, password].map((text) => `"${decodeURIComponent(text).replaceAll('"', '""')}"`)
    writeFileSync(join(folder, 'users.txt'), `${quoted.join(' ')}\n`)
    const asRoot = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
    return {
      url: `postgres://${username}@127.0.0.1:${port}`,
      pid: launch(folder, binary, [...asRoot, join(folder, 'pgbouncer.ini')]),
      ready: () => isListening(port),
    }
  })
}
