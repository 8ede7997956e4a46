/**
 * Starts what is installed of PostgreSQL, Redis, etcd, ZooKeeper, NATS and RabbitMQ on free ports of 127.0.0.1, with data in
 * a temporary folder, and prints the variables that the tests read. Ctrl-C stops all of it. `--docker` prints the variables
 * for compose.yaml instead.
 */
import { tempFolder } from '../test/support/files.ts'
import { startPostgres } from '../test/support/postgres-server.ts'
import {
  etcdServer,
  natsServer,
  RUN_FOLDER,
  rabbitmqServer,
  redisServer,
  type Server,
  stopSharedServers,
  zookeeperServer,
} from '../test/support/servers.ts'

const OF_COMPOSE = {
  POSTGRES: 'postgres://postgres@127.0.0.1:5432/postgres',
  REDIS: 'redis://127.0.0.1:6379',
  ETCD: 'http://127.0.0.1:2379',
  ZOOKEEPER: '127.0.0.1:2181',
  NATS: 'nats://127.0.0.1:4222',
  RABBITMQ: 'amqp://guest:guest@127.0.0.1:5672',
}

const [option, ...more] = process.argv.slice(2)
if (more.length > 0 || (option !== undefined && option !== '--docker')) {
  process.stderr.write('Usage: npm run --silent services [-- --docker]\n')
  process.exitCode = 64
} else if (option === '--docker') {
  for (const [name, url] of Object.entries(OF_COMPOSE)) print(name, { url })
} else {
  const folder = tempFolder('services')
  process.env[RUN_FOLDER] = folder.path
  const postgres = await startPostgres()
  const stop = (): void => {
    postgres.killSync()
    stopSharedServers(folder.path)
    folder.remove()
  }
  process.once('exit', stop)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(0))
  print('POSTGRES', postgres)
  const starting = {
    REDIS: redisServer(),
    ETCD: etcdServer(),
    ZOOKEEPER: zookeeperServer(),
    NATS: natsServer(),
    RABBITMQ: rabbitmqServer(),
  }
  for (const [name, server] of Object.entries(starting)) print(name, await server)
  process.stdout.write('# running until Ctrl-C\n')
  setInterval(() => {}, 2 ** 31 - 1)
}

function print(name: string, server: Server): void {
  if ('missing' in server) process.stdout.write(`# ${name}: ${server.missing}\n`)
  else process.stdout.write(`export HOLDFAST_TEST_${name}_URL=${server.url}\n`)
}
