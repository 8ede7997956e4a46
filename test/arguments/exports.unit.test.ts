/**
 * Every function that the package exports, called with what callers without types may hand in: it is refused with one of
 * our errors, outcome `not-applied`, and before anything was done. A new export is in no row, and fails here.
 */
import { readFileSync } from 'node:fs'
import { growCounter } from 'holdfast/causality'
import { pairOperations } from 'holdfast/history'
import { memoryCounter } from 'holdfast/id'
import { createLocks } from 'holdfast/lock'
import { createOutbox } from 'holdfast/outbox'
import { createParticipant } from 'holdfast/participant'
import { race } from 'holdfast/race'
import { createReplica } from 'holdfast/replica'
import { saga } from 'holdfast/saga'
import { outboxTables } from 'holdfast/tables'
import { describe, expect, it } from 'vitest'
import {
  anything,
  may,
  methodsOf,
  must,
  NOTHING,
  Not,
  notRefused,
  options,
  type Place,
  type Row,
  required,
} from './rows.ts'
import { broker, driver, store, tx } from './stand-ins.ts'

const fn = must(() => {}, 'a function')
const text = (right: string): Place => must(right, 'a text')
const STORE = must(store)
const TX = must(tx)
const STAMP = { wallMs: 1, logical: 0, replica: 'a' }
const VECTOR = new Map([['a', 1]])
const LEASE = { scope: 's', name: 'n', owner: 'o', epoch: 1n }
const EVENTS = [
  { process: 0, type: 'invoke', f: 'read', value: null },
  { process: 0, type: 'ok', f: 'read', value: 1 },
]
const VERDICT = { verdict: 'valid', model: 'register', operations: 1, anomalies: [], seconds: 0 }
const REPORT = { name: 'r', tasks: ['a', 'b'], ok: true }
const STEP = { number: 1, task: 'a', text: 'select 1', values: [] }
const RACE = race('r', { store: driver as never, tasks: { a: async () => {}, b: async () => {} } } as never)
const CALL = { saga: 's', step: 'a', phase: 'do', epoch: 1n }
const PARTICIPANT = createParticipant(store)
const OUTBOX = createOutbox(store)
const SAGA = saga('s', async () => {})
const REPLICA = createReplica(store, {
  id: 'a',
  members: ['a', 'b'],
  collections: { notes: { merge: 'last-writer-wins' } },
})
const LOCK = { mode: 'exclusive', name: 'n', token: 1n, holder: 'h' }
const KIT = { describe: () => {}, it: () => {}, expect: () => {}, beforeEach: () => {}, afterEach: () => {} }
const SUITE = [must(KIT), text('suite'), must(async () => {}, 'a function')]
const JSON_TEXT = '{"type":"ok"}'
const HEADERS = { 'holdfast-saga': 's', 'holdfast-step': 'a' }

const ANSWERS_ANYTHING = new Not('it says of any value whether it is one')
const A_MODEL = new Not('a model, which the checker calls with operations that it has read itself')
const A_DIALECT = new Not('the words of a database, which the package itself asks for')

/** By entry, then by name; of an object, its methods behind a dot. */
const ROWS: Readonly<Record<string, Readonly<Record<string, Row>>>> = {
  '.': {
    isHoldfastError: ANSWERS_ANYTHING,
    migrate: [STORE, must([outboxTables], 'an array')],
    sql: [must(Object.assign(['select 1'], { raw: ['select 1'] }), 'an array'), anything()],
    'sql.ident': [text('t')],
    'sql.names': [must(['a'], 'an array')],
    'sql.raw': [text('select 1')],
    'sql.join': [must([], 'an array'), may(', ', 'a text')],
    Sql: [must([], 'an array')],
    'systemClock.now': NOTHING,
    'systemClock.monotonic': NOTHING,
    'systemClock.random': NOTHING,
    'systemClock.sleep': new Not('the seam of time: what runs on it has checked its durations'),
    'silentLog.debug': NOTHING,
    'silentLog.info': NOTHING,
    'silentLog.warn': NOTHING,
    'silentLog.error': NOTHING,
  },
  './broker': {
    directBroker: [required({ handle: () => {} })],
    partitionOf: [text('k'), must(8)],
    partitionOfMessage: [must({ id: 'i', key: null }), must(8)],
  },
  './causality': {
    bumpVector: [must(VECTOR), text('a')],
    compareStamps: [must(STAMP), must(STAMP)],
    compareVectors: [must(VECTOR), must(VECTOR)],
    compareVersions: [
      must({ dot: { replica: 'a', count: 1 }, past: VECTOR }),
      must({ dot: { replica: 'a', count: 1 }, past: VECTOR }),
    ],
    decodeStamp: [must('000000000001-0000-a')],
    decodeVector: [must([], 'an array')],
    emptyVector: new Not('a Map'),
    dottedVersion: [text('a'), must({ past: VECTOR, known: VECTOR })],
    encodeStamp: [must(STAMP)],
    encodeVector: [must(VECTOR)],
    hybridClock: [required({ replica: 'a' })],
    includesDot: [must(VECTOR), must({ replica: 'a', count: 1 })],
    lastWriterWins: NOTHING,
    mergeVectors: [must(VECTOR), must(VECTOR)],
    mergeable: [required({ kind: 'mine', empty: 0, merge: Math.max }, 'empty')],
    multiValue: NOTHING,
    nextDot: [must(VECTOR), text('a')],
    nextStamp: [must(STAMP), must(2, 'a number')],
    observedRemoveMap: [must(growCounter)],
    observedRemoveSet: NOTHING,
    sameState: [must(growCounter), must(VECTOR, 'left out'), must(new Map())],
    'growCounter.merge': [must(VECTOR), must(VECTOR)],
    'growCounter.compare': [must(VECTOR), must(VECTOR)],
    'growCounter.encode': [must(VECTOR)],
    'growCounter.decode': [must([], 'an array')],
    'growCounter.increment': [must(VECTOR), text('a'), may(1)],
    'growCounter.total': [must(VECTOR)],
    'upDownCounter.merge': [must({ ups: VECTOR, downs: VECTOR }), must({ ups: VECTOR, downs: VECTOR })],
    'upDownCounter.compare': [must({ ups: VECTOR, downs: VECTOR }), must({ ups: VECTOR, downs: VECTOR })],
    'upDownCounter.encode': [must({ ups: VECTOR, downs: VECTOR })],
    'upDownCounter.decode': [must({ ups: [], downs: [] })],
    'upDownCounter.add': [must({ ups: VECTOR, downs: VECTOR }), text('a'), must(1)],
    'upDownCounter.total': [must({ ups: VECTOR, downs: VECTOR })],
  },
  './effects': {
    once: [TX, required({ scope: 's', id: 'i' }), fn],
    pruneEffects: [STORE, required({ scope: 's', olderThanMs: 1 })],
    recordEffect: [TX, required({ scope: 's', id: 'i' })],
    recordEffects: [TX, required({ scope: 's', ids: ['i'] })],
    storeEffectResult: [TX, must({ scope: 's', id: 'i' }), must('{}', 'a text', 'null')],
  },
  './etcd': { etcdLocks: [must(driver), options()] },
  './fence': {
    fence: [TX, must(LOCK, 'an array')],
    fenceSql: [STORE],
    fencingHeader: [must(LOCK)],
    fencingMiddleware: [options()],
    readFencingHeader: [must('1; name="n"; holder="h"')],
  },
  './history': {
    JsonLinesScanner: [must('list-append')],
    TransactionHistoryBuilder: NOTHING,
    checkDelivery: [must([], 'an array'), options()],
    checkHistory: [must({ events: EVENTS }), required({ model: 'register' }, 'initial')],
    checkLinearizable: [
      must(pairOperations(EVENTS as never), 'an array'),
      required({ model: 'register' }, 'initial'),
    ],
    checkTransactions: [must(EVENTS, 'an array'), required({ model: 'rw-register' })],
    drawAnomaly: [must({ type: 'lost', explanation: '', operations: [] })],
    htmlReport: [must(VERDICT), required({ title: 't' })],
    levelNamed: [text('serializable')],
    pairOperations: [must(EVENTS, 'an array'), options()],
    parseCobra: [must([], 'an array')],
    parseDbcop: [must(new Uint8Array(1))],
    parseEdnHistory: [text('')],
    parseJsonLines: [text(JSON_TEXT)],
    parsePorcupine: [text('')],
    parseText: [text('')],
    record: [must(driver), required({ versions: { account: 'version' } })],
    transactionsFromOperations: [must(EVENTS, 'an array'), must('rw-register')],
    counter: A_MODEL,
    fencedLock: A_MODEL,
    lock: A_MODEL,
    mutex: A_MODEL,
    queue: A_MODEL,
    unorderedQueue: A_MODEL,
    set: A_MODEL,
    stack: A_MODEL,
    register: [anything()],
    casRegister: [anything()],
    multiRegister: [anything()],
    kv: [anything()],
  },
  './id': {
    bigintsAsText: new Not('a replacer, which JSON.stringify calls with any key and value'),
    composeRaw: [must({ instance: 0, sequence: 0n })],
    etcdCounter: [must(driver), options()],
    feistel: [may({ key: 1n })],
    fileCounter: [must('/tmp/ids')],
    idType: [must('ORD'), options()],
    inspectFileCounter: [must('/tmp/no/such/ids')],
    leasedInstance: [STORE, options()],
    memoryCounter: NOTHING,
    multiplicative: [may({ multiplier: 3n, offset: 0n })],
    permutedIds: [required({ instance: 0, source: memoryCounter() })],
    readId: [must('1'), may('decimal')],
    redisCounter: [must(driver), options()],
    splitRaw: [must(1n)],
    storeCounter: [STORE, options()],
    'decimal.encode': [must(1n)],
    'decimal.encodeChecked': [must(1n)],
    'decimal.decode': [must('1')],
    'decimal.decodeChecked': [must('1')],
    'base62.encode': [must(1n)],
    'base62.encodeChecked': [must(1n)],
    'base62.decode': [must('00000000001')],
    'base62.decodeChecked': [must('000000000012')],
    'crockford32.encode': [must(1n)],
    'crockford32.encodeChecked': [must(1n)],
    'crockford32.decode': [must('0000000000001')],
    'crockford32.decodeChecked': [must('00000000000011')],
  },
  './inbox': { createInbox: [STORE, options()] },
  './lease': {
    acquireLease: [STORE, required({ scope: 's', name: 'n', owner: 'o', ttlMs: 1_000 })],
    handOver: [STORE, must(LEASE), required({ to: 'p' })],
    keepLeases: [STORE, required({ scope: 's', names: ['n'], onGained: () => {} })],
    listLeases: [STORE, options()],
    nextShare: [must({ me: 'a', members: ['a'], names: ['n'], holders: new Map(), leaving: new Set() })],
    releaseLease: [STORE, must(LEASE), options()],
    renewLeases: [STORE, required({ scope: 's', owner: 'o', ttlMs: 1_000 })],
    uniqueOwner: [may('p')],
  },
  './lock': {
    createLocks: [STORE, options()],
    election: [must(createLocks(store)), must('leader'), options()],
    ownership: [STORE, required({ name: 'o', partitions: 2, onGained: () => {} })],
    storeLocks: [STORE, options()],
  },
  './nats': { nats: [must({ jetstream: driver, headers: () => {} }), options()] },
  './outbox': {
    createOutbox: [STORE, options()],
    deadLetters: [STORE],
    describeError: new Not('it tells of whatever was thrown'),
    putDeadLetter: [
      TX,
      must({
        source: 'outbox/default',
        message: { id: 'i', topic: 't', key: null, payload: '{}', headers: {}, publishedAtMs: 0 },
        attempts: 1,
        error: new Error('e'),
      }),
    ],
  },
  './participant': {
    ConformanceClient: [must('http://localhost', 'a text'), must(1_000, 'a number')],
    StepRefusedError: [must('no_money'), options()],
    callStep: [must('http://localhost/step'), required(CALL, 'input')],
    checkParticipant: [must('http://localhost'), options()],
    createParticipant: [STORE, options()],
    expressStep: [must(PARTICIPANT), required({ do: () => {} })],
    fastifyStep: [must(PARTICIPANT), must('/charge', 'a text'), required({ do: () => {} })],
    honoStep: [must(PARTICIPANT), required({ do: () => {} })],
    stepHeaders: [must(CALL)],
  },
  './postgres': {
    postgres: [must(driver), options()],
    postgresDialect: A_DIALECT,
  },
  './race': {
    accessOf: [must(STEP)],
    assertSerializable: [must(RACE), options()],
    decodeSchedule: [must('r1:a'), must(2)],
    diagnose: [must([], 'an array'), may([], 'an array')],
    encodeSchedule: [must([0], 'an array')],
    explore: [must(RACE), options()],
    race: [must('r'), required({ tasks: { a: () => {}, b: () => {} } }, 'store')],
    raceHtml: [must([], 'an array'), required({ title: 't' })],
    renderReport: [must(REPORT), may(100, 'a number')],
    yieldPoint: [text('file')],
    'raceMatchers.toBeSerializable': [must(RACE), options()],
  },
  './rabbitmq': { rabbitmq: [must(driver), options()] },
  './redis': { redisGuard: [must(driver), options()], redisLocks: [must(driver), options()] },
  './replica': {
    answerPeerRequest: [must(REPLICA), text('{}')],
    answerRecord: [
      must({ replica: REPLICA, store, collection: 'notes' }),
      must({ method: 'GET', key: 'k', header: () => undefined }),
    ],
    collection: new Not('it types its argument and gives it back; createReplica checks it'),
    createReplica: [
      STORE,
      required({ id: 'a', members: ['a', 'b'], collections: { notes: { merge: 'last-writer-wins' } } }),
    ],
    etagOf: [must({ context: 'c' })],
    httpPeer: [required({ url: 'http://localhost/peer' })],
    listConflicts: [STORE, options()],
    readIfMatch: [may('"c"', 'null')],
    readReplicaStatus: [STORE, may('default')],
    showConflict: [STORE, text('i')],
  },
  './saga': {
    checkUpgrade: [STORE, must([SAGA], 'an array')],
    deliverReply: [TX, must({ id: 'i', headers: HEADERS, payload: 1 })],
    replyToSaga: [
      TX,
      must(OUTBOX),
      must({ headers: HEADERS }),
      required({ topic: 't', payload: 1 }, 'payload'),
    ],
    saga: [must('s'), fn, options()],
    sagaHandle: [STORE, must('i')],
    sagaOperations: [STORE],
    sagaRunner: [STORE, required({ sagas: [SAGA] })],
  },
  './sqlite': { sqlite: [required({ open: () => driver })], sqliteDialect: A_DIALECT },
  './store': {
    compileSql: [must(store.table('outbox')), must(store.dialect)],
    createStore: [
      must({ dialect: store.dialect, begin: () => {}, adopt: () => {}, close: () => {} }),
      must({}, 'an empty object', 'a bare object'),
    ],
    isRetriable: ANSWERS_ANYTHING,
    planMigration: [STORE, must(outboxTables), must(0)],
    printMigrations: [STORE, must([outboxTables], 'an array')],
    pruneWitnesses: [STORE, required({ olderThanMs: 1 })],
    readRevision: [TX, must('outbox')],
    requireRevision: [TX, must(outboxTables)],
  },
  './store-queue': { storeQueue: [STORE, options()] },
  './testing': {
    armFailpointsFromEnv: [may('')],
    assertMergeLaws: [
      must(driver),
      required({ kind: growCounter, operations: driver, apply: () => {} }, 'operations'),
      options(),
    ],
    brokenMergeLaw: [must(growCounter), must([], 'an array')],
    brokenMergeRun: [must({ kind: growCounter, replicas: ['a'], apply: () => {} }), must([], 'an array')],
    checkGuardedWrites: [must([], 'an array')],
    checkLockSpans: [must([], 'an array')],
    describeBaseContract: SUITE,
    describeBrokerContract: [...SUITE, must({ restarts: false }, 'an empty object', 'a bare object')],
    describeLockContract: [...SUITE, must({ ttlMs: 1_000, tooShortMs: 1, rounds: 1 })],
    describeParticipantConformance: [...SUITE, options()],
    describeStoreContract: SUITE,
    failpoint: new Not(
      'on every path of the package, and free while nothing is armed: it takes names and asks nothing',
    ),
    failpointSync: new Not('as failpoint'),
    faultyBroker: [must(broker), options()],
    isStopped: [must(1)],
    killAtRandom: [required({ targets: () => [], everyMs: 1, signal: AbortSignal.abort() })],
    manualClock: [options()],
    memoryBroker: [options()],
    seededRandom: [must(1)],
    spawnProcess: [must('true'), must([], 'an array'), may({}, 'an empty object', 'a bare object')],
    tcpProxy: [required({ target: { host: '127.0.0.1', port: 1 } })],
    testMessage: [may({}, 'an empty object', 'a bare object')],
    'failpoints.arm': [must('outbox.publish.flushed', 'a text'), must('throw', 'a function'), options()],
    'failpoints.hits': NOTHING,
    'failpoints.record': NOTHING,
    'failpoints.reset': NOTHING,
  },
  './two-phase': { createTwoPhase: [STORE, required({ participants: { a: store } })] },
  './version': {
    fulfilsIfMatch: [must({ kind: 'any' }), may(1n, 'a text')],
    mergeFields: [must({ base: {}, mine: {}, theirs: {} }), options()],
    mergeVersioned: [STORE, must('t'), must({ id: 1 }), fn, options()],
    parseIfMatch: [may('"1"', 'null')],
    readVersioned: [TX, must('t'), must({ id: 1 }), options()],
    toEtag: [must(1n, 'a text')],
    updateVersioned: [TX, must('t'), must({ id: 1 }), must(1n), must({ a: 1 }), options()],
  },
  './zookeeper': { zookeeperLocks: [fn, options()] },
}

const { exports } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  exports: Record<string, { readonly default?: string }>
}

interface Exported {
  readonly name: string
  readonly call: (...given: never[]) => unknown
}

/** What one entry exports for the first time: some are exported by two. */
async function exportedBy(source: string): Promise<Exported[]> {
  const module = (await import(/* @vite-ignore */ source)) as Record<string, unknown>
  return Object.entries(module).flatMap(([name, value]): Exported[] => {
    if (seen.has(value) || (typeof value !== 'function' && !isObject(value))) return []
    seen.add(value)
    if (isOwnError(value)) return []
    if (isClass(value)) return [{ name, call: (...given) => Reflect.construct(value, given) }]
    const methods = methodsOf(value as object).map((method) => ({
      name: `${name}.${method}`,
      call: (...given: never[]) => (value as Record<string, Exported['call']>)[method]?.(...given),
    }))
    return typeof value === 'function' ? [{ name, call: value as Exported['call'] }, ...methods] : methods
  })
}

const seen = new Set<unknown>()

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isClass(
  value: unknown,
): value is { new (): unknown; readonly prototype: unknown; readonly name: string } {
  return typeof value === 'function' && /^class\b/.test(Function.prototype.toString.call(value))
}

/** Most errors are made by the package alone, and exported so that they can be told apart. */
function isOwnError(value: unknown): boolean {
  return isClass(value) && value.prototype instanceof Error && value.name !== 'StepRefusedError'
}

const entries = Object.entries(exports).flatMap(([entry, { default: built }]) =>
  built === undefined
    ? []
    : [{ entry, source: built.replace('./dist/', '../../src/').replace(/\.js$/, '.ts') }],
)
// One after the other: who exports first is asked for the row.
const all: (Exported & { readonly entry: string })[] = []
for (const { entry, source } of entries)
  for (const one of await exportedBy(source)) all.push({ entry, ...one })

function rowOf(entry: string, name: string): Row | undefined {
  const rows = ROWS[entry] ?? {}
  return rows[name] ?? rows[name.split('.')[0] as string]
}

describe.each(entries)('$entry', ({ entry }) => {
  const own = all.filter((one) => one.entry === entry)

  it('has a row for each export, and no row for anything else', () => {
    expect(own.filter(({ name }) => rowOf(entry, name) === undefined).map(({ name }) => name)).toEqual([])
    const named = Object.keys(ROWS[entry] ?? {})
    expect(named.filter((row) => !own.some(({ name }) => `${name}.`.startsWith(`${row}.`)))).toEqual([])
  })

  const called = own.flatMap(({ name, call }) => {
    const row = ROWS[entry]?.[name]
    return row === undefined || row instanceof Not || row.length === 0 ? [] : [{ name, call, row }]
  })
  if (called.length > 0)
    it.each(called)('$name refuses what it cannot take', async ({ call, row }) => {
      expect(await notRefused(call, row)).toEqual([])
    })
})
