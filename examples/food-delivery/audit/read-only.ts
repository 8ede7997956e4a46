/** The audit's own way into the databases. It shares no code with the services that it judges. */
export interface ReadOnly {
  read<Row>(text: string): Promise<Row[]>
  close(): Promise<void>
}

export type Place =
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'postgres'; readonly url: string }

export async function openReadOnly(place: Place): Promise<ReadOnly> {
  return place.kind === 'sqlite' ? openFile(place.path) : openServer(place.url)
}

interface SqliteHandle {
  exec(text: string): unknown
  prepare(text: string): { all(): unknown[] }
  close(): unknown
}

async function openFile(path: string): Promise<ReadOnly> {
  const builtin = process.getBuiltinModule?.('node:sqlite' as never) as
    | { readonly DatabaseSync: new (path: string) => SqliteHandle }
    | undefined
  const name = 'libsql'
  const Handle =
    builtin?.DatabaseSync ?? ((await import(name)) as { default: new (path: string) => SqliteHandle }).default
  const db = new Handle(path)
  db.exec('pragma busy_timeout = 2000')
  db.exec('pragma query_only = on')
  return {
    read: async <Row>(text: string) => db.prepare(text).all() as Row[],
    close: async () => void db.close(),
  }
}

interface PgClient {
  connect(): Promise<void>
  query(text: string): Promise<{ rows: unknown[] }>
  on(event: 'error', listener: () => void): unknown
  end(): Promise<void>
}

async function openServer(url: string): Promise<ReadOnly> {
  const name = 'pg'
  const { default: pg } = (await import(name)) as {
    default: { Client: new (options: object) => PgClient }
  }
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  await client.query('set default_transaction_read_only = on')
  return {
    read: async <Row>(text: string) => (await client.query(text)).rows as Row[],
    close: () => client.end(),
  }
}
