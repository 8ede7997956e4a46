/**
 * The methods of what the package makes, called with what callers without types may hand in: each is refused with one of
 * our errors, outcome `not-applied`, and before anything was done. A new method is in no row, and fails here.
 */

import { directBroker } from 'holdfast/broker'
import {
  growCounter,
  hybridClock,
  lastWriterWins,
  multiValue,
  observedRemoveMap,
  observedRemoveSet,
} from 'holdfast/causality'
import { JsonLinesScanner, TransactionHistoryBuilder } from 'holdfast/history'
import {
  feistel,
  idType,
  leasedInstance,
  memoryCounter,
  multiplicative,
  permutedIds,
  storeCounter,
} from 'holdfast/id'
import { createInbox } from 'holdfast/inbox'
import { keepLeases } from 'holdfast/lease'
import { createLocks, election, ownership } from 'holdfast/lock'
import { createOutbox, deadLetters } from 'holdfast/outbox'
import { ConformanceClient, createParticipant } from 'holdfast/participant'
import { redisGuard } from 'holdfast/redis'
import { createReplica } from 'holdfast/replica'
import { saga, sagaHandle, sagaOperations, sagaRunner } from 'holdfast/saga'
import { storeQueue } from 'holdfast/store-queue'
import { failpoints, faultyBroker, manualClock, memoryBroker, spawnProcess, tcpProxy } from 'holdfast/testing'
import { createTwoPhase } from 'holdfast/two-phase'
import { afterAll, describe, expect, it } from 'vitest'
import { freshStore } from '../support/stores.ts'
import {
  anything,
  may,
  methodsOf,
  must,
  NOTHING,
  Not,
  notRefused,
  options,
  type Row,
  required,
} from './rows.ts'
import { broker, driver, syncTx, tx } from './stand-ins.ts'

const opened = await freshStore('sqlite')
const { store } = opened
afterAll(() => opened[Symbol.asyncDispose]())

/** A transaction of that store. */
const OWN_TX = must({ ...tx, store })
const OWN_SYNC_TX = must({ ...syncTx, store })
const INSIDE = new Not('not in the type: other parts of the package call it')
const ELEMENT = must('e', 'a number', 'a text', 'null', 'an empty object', 'a bare object', 'an array')

const TX = must(tx)
const FN = must(() => {}, 'a function')
const TEXT = must('select 1', 'a text')
const STOP = options()
const LOCK = { mode: 'exclusive', name: 'n', token: 1n, holder: 'h' }
const CALL = { saga: 's', step: 'a', phase: 'do', epoch: 1n }
const MESSAGE = { id: 'i', topic: 't', key: null, payload: '{}', headers: {}, publishedAtMs: 0 }
const BROKER_CALLS = new Not(
  'relays and consumers call it, with what they have checked; the contract of brokers says the rest',
)

interface Subject {
  readonly name: string
  /** Makes it; what it needs to be ended by comes with it. */
  open(): unknown
  readonly rows: Readonly<Record<string, Row>>
}

const STATE_ROWS = (state: unknown, more: Readonly<Record<string, Row>>): Subject['rows'] => ({
  merge: [must(state), must(state)],
  compare: [must(state), must(state)],
  encode: [must(state)],
  decode: new Not('its rows are those of the laws: what it cannot read is a PayloadError'),
  ...more,
})
const VECTOR = new Map([['a', 1]])
const STAMP = { wallMs: 1, logical: 0, replica: 'a' }
const REGISTER = multiValue<number>().empty
const MAP = observedRemoveMap(growCounter).empty

const LOCK_ROWS = { isHeld: NOTHING, release: NOTHING }
const BROKER_ROWS = { publish: BROKER_CALLS, subscribe: BROKER_CALLS, close: NOTHING }

const SUBJECTS: readonly Subject[] = [
  {
    name: 'store',
    open: () => store,
    rows: {
      table: new Not('of the parts of the package, which name tables of their own'),
      tableName: new Not('as table'),
      transaction: [FN, options()],
      read: [TEXT, may([], 'an array')],
      autocommit: [must(syncTx.store.table('t')), options()],
      query: [TEXT, may([], 'an array')],
      execute: [TEXT, may([], 'an array')],
      lockRows: new Not('always refused'),
      join: [must({}), FN],
      joinSync: [must({}), FN],
      resolve: [
        must(Object.assign(new Error('c'), { code: 'COMMIT_UNKNOWN', outcome: 'unknown', witnessed: false })),
      ],
      close: NOTHING,
    },
  },
  {
    name: 'mergeable: last-writer-wins',
    open: () => lastWriterWins<number>(),
    rows: STATE_ROWS(
      { stamp: STAMP, value: 1 },
      {
        merge: [must(null, 'null'), must(null, 'null')],
        compare: [must(null, 'null'), must(null, 'null')],
        encode: [must(null, 'null')],
        write: [must(null, 'null'), must(STAMP), ELEMENT],
      },
    ),
  },
  {
    name: 'mergeable: multi-value',
    open: () => multiValue<number>(),
    rows: STATE_ROWS(REGISTER, {
      write: [must(REGISTER), must('a'), ELEMENT, may(VECTOR)],
      clear: [must(REGISTER), must('a'), may(VECTOR)],
      values: [must(REGISTER)],
    }),
  },
  {
    name: 'mergeable: observed-remove map',
    open: () => observedRemoveMap(growCounter),
    rows: STATE_ROWS(MAP, {
      update: [must(MAP), must('a'), must('k'), FN],
      remove: [must(MAP), must('a'), must('k')],
      get: [must(MAP), must('k')],
      keys: [must(MAP)],
    }),
  },
  {
    name: 'mergeable: observed-remove set',
    open: () => observedRemoveSet<string>(),
    rows: STATE_ROWS(MAP, {
      add: [must(MAP), must('a'), ELEMENT],
      remove: [must(MAP), must('a'), ELEMENT],
      has: [must(MAP), ELEMENT],
      elements: [must(MAP)],
    }),
  },
  {
    name: 'hybrid clock',
    open: () => hybridClock({ replica: 'a' }),
    rows: { tick: NOTHING, observe: [must(STAMP)] },
  },
  { name: 'direct broker', open: () => directBroker({ handle: () => {} }), rows: BROKER_ROWS },
  {
    name: 'store queue',
    open: () => storeQueue(store),
    rows: {
      ...BROKER_ROWS,
      subscribe: [required({ topic: 't', group: 'g', partition: 0, prefetch: 1 }), FN],
      declare: [required({ topic: 't', group: 'g' })],
      removeGroup: [required({ topic: 't', group: 'g' })],
      sweep: NOTHING,
      figures: NOTHING,
    },
  },
  {
    name: 'memory broker',
    open: () => memoryBroker(),
    rows: { ...BROKER_ROWS, unsettled: [must('t', 'a text'), must('g', 'a text')] },
  },
  { name: 'faulty broker', open: () => faultyBroker(broker, {}), rows: BROKER_ROWS },
  {
    name: 'outbox',
    open: () => createOutbox(store),
    rows: {
      publish: [OWN_TX, must({ topic: 't', payload: 1 })],
      check: [must(store), must({ topic: 't', payload: 1 })],
      publishSync: [OWN_SYNC_TX, must({ topic: 't', payload: 1 }, 'an array')],
      committed: NOTHING,
      relay: [required({ broker, manual: true })],
      figures: NOTHING,
    },
  },
  {
    name: 'relay',
    open: () => createOutbox(store).relay({ broker: memoryBroker(), manual: true }),
    rows: { drainOnce: [options()], figures: NOTHING, stop: [STOP] },
  },
  {
    name: 'dead letters',
    open: () => deadLetters(store),
    rows: {
      list: [options()],
      show: [must('i', 'a text')],
      retry: [must({ topic: 't' }, 'an empty object', 'a bare object'), options()],
      purge: [required({ topic: 't' }), options()],
    },
  },
  {
    name: 'inbox',
    open: () => createInbox(store),
    rows: {
      handle: [TX, must(MESSAGE), FN, options()],
      consumer: [required({ broker, topic: 't', group: 'g', handler: () => {} })],
      drainOnce: [required({ broker, topic: 't', group: 'g', handler: () => {} }), options()],
    },
  },
  {
    name: 'consumer',
    open: () =>
      createInbox(store).consumer({
        broker: memoryBroker(),
        topic: 't',
        group: 'g',
        handler: async () => {},
      }),
    rows: { drainUntilIdle: [options()], figures: NOTHING, stop: [STOP] },
  },
  {
    name: 'lease keeper',
    open: () => keepLeases(store, { scope: 's', names: ['n'], onGained: () => {} }),
    rows: { stop: [STOP] },
  },
  {
    name: 'locks',
    open: () => createLocks(store),
    rows: {
      acquire: [must('n'), options()],
      tryAcquire: [must('n'), options()],
      acquireShared: [must('n'), options()],
      tryAcquireShared: [must('n'), options()],
      acquirePermit: [must('n'), required({ permits: 1 })],
      tryAcquirePermit: [must('n'), required({ permits: 1 })],
      list: [options()],
      show: [must('n')],
      forceRelease: [must('n')],
      close: NOTHING,
    },
  },
  {
    name: 'lock',
    open: () => createLocks(store).acquire('held'),
    rows: { ...LOCK_ROWS, end: INSIDE, failed: INSIDE, renewed: INSIDE },
  },
  { name: 'lock set', open: () => createLocks(store).acquire(['one', 'two']), rows: LOCK_ROWS },
  {
    name: 'election',
    open: () => election(createLocks(store), 'e'),
    rows: {
      run: [FN, options()],
      leader: NOTHING,
      observe: [options()],
      handOver: [must({ term: undefined, stop: () => {} }), options()],
    },
  },
  {
    name: 'candidate',
    open: () => election(createLocks(store), 'c').run(async () => {}),
    rows: { stop: [STOP] },
  },
  {
    name: 'ownership',
    open: () => ownership(store, { name: 'o', partitions: 1, onGained: () => {} }),
    rows: { stop: [STOP] },
  },
  {
    name: 'redis guard',
    open: () => redisGuard(driver as never),
    rows: {
      set: [must(LOCK), must('k', 'a text'), must('v', 'a text')],
      eval: [must(LOCK), required({ script: 'return 1', keys: [] })],
    },
  },
  {
    name: 'permuted ids',
    open: () => permutedIds({ instance: 0, source: memoryCounter(), permutation: feistel('public') }),
    rows: {
      next: NOTHING,
      tryNext: NOTHING,
      fill: [must(new BigUint64Array(1))],
      decode: [must(1n)],
      encode: [must({ instance: 0, sequence: 0n })],
      close: NOTHING,
    },
  },
  ...[feistel('public'), multiplicative('public')].map((permutation) => ({
    name: permutation.name,
    open: () => permutation,
    rows: {
      encode: [must(1n)],
      decode: [must(1n)],
      fill: new Not('the inner loop of a generator: it takes what the generator has checked'),
    },
  })),
  ...[memoryCounter(), storeCounter(tx.store)].map((source) => ({
    name: 'counter',
    open: () => source,
    rows: { open: new Not('a generator opens its source, with the instance that it has checked') },
  })),
  { name: 'leased instance', open: () => leasedInstance(store), rows: { acquire: NOTHING } },
  {
    name: 'id type',
    open: () => idType('ORD'),
    rows: {
      encode: [must(1n)],
      decode: [must('ORD_00000000001')],
      parse: [must('ORD_00000000001')],
      is: new Not('it says of any value whether it is one'),
    },
  },
  {
    name: 'participant',
    open: () => createParticipant(store),
    rows: {
      run: [TX, must(CALL), FN],
      transaction: [must(CALL), FN, options()],
      advance: [TX, must(CALL)],
      prune: [options()],
    },
  },
  {
    name: 'conformance client',
    open: () => new ConformanceClient('http://localhost', 1_000),
    rows: {
      call: new Not('the checks of the conformance suite call it'),
      send: new Not('as call'),
      look: new Not('as call'),
    },
  },
  {
    name: 'replica',
    open: () => replica(),
    rows: {
      put: [OWN_TX, must('notes'), must('k'), anything({}), options()],
      update: [OWN_TX, must('notes'), must('k'), FN, options()],
      delete: [OWN_TX, must('notes'), must('k'), options()],
      get: [OWN_TX, must('notes'), must('k'), options()],
      confirmed: [must({ id: 'i' }), required({ writtenBy: 1 })],
      receive: [TX, must('{}'), options()],
      answer: [must({ ask: 'sums', set: 'default', from: 'b' })],
      start: [required({ broker })],
      staleness: NOTHING,
      status: NOTHING,
      conflicts: [options()],
      conflict: [must('i', 'a text')],
    },
  },
  {
    name: 'running replica',
    open: () => replica().start({ broker: memoryBroker() }),
    rows: { stop: [STOP], pull: [must('b')], figures: NOTHING },
  },
  {
    name: 'saga',
    open: () =>
      saga('s', async () => {}, {
        schema: { '~standard': { version: 1, vendor: 'none', validate: (value) => ({ value }) } },
      }),
    rows: {
      code: new Not('the runner calls it'),
      start: [must(tx), anything(undefined), options()],
      startSync: [must(syncTx), anything(undefined), options()],
      run: [must(tx.store), anything(undefined), options()],
      get: [must(tx.store), must('i')],
    },
  },
  {
    name: 'saga handle',
    open: () => sagaHandle(store, 'i'),
    rows: {
      result: [options()],
      state: NOTHING,
      cancel: [options()],
      signal: [must('n'), anything(), options()],
    },
  },
  {
    name: 'saga operations',
    open: () => sagaOperations(store),
    rows: {
      list: [options(), options()],
      count: [options()],
      show: [must('i')],
      figures: NOTHING,
      retry: [must('i')],
      skipStep: [must('i'), options({}, 'result')],
      forceUndo: [must('i')],
      fork: [must('i'), required({ from: 'a', newId: 'j' })],
      cancel: [must('i')],
      purge: [must({ name: 'n' }, 'an empty object', 'a bare object')],
    },
  },
  {
    name: 'saga runner',
    open: () => sagaRunner(store, { sagas: [saga('s', async () => {})] }),
    rows: {
      stop: [STOP],
      figures: NOTHING,
      ...Object.fromEntries(['ended', 'offer', 'poke', 'room', 'startHeld'].map((name) => [name, INSIDE])),
    },
  },
  {
    name: 'two-phase commit',
    open: () => createTwoPhase(store, { participants: { a: store } }),
    rows: {
      check: NOTHING,
      takeOver: [required({ stores: [store], attemptOf: 'a' })],
      recover: [options()],
      recovery: [options()],
      decisions: [options()],
      prepared: [options()],
      close: NOTHING,
    },
  },
  {
    name: 'two-phase transaction',
    open: () => ({ run: createTwoPhase(store, { participants: { a: store } }) }),
    rows: { run: [must([store]), FN, options()] },
  },
  {
    name: 'two-phase recovery',
    open: () => createTwoPhase(store, { participants: { a: store } }).recovery(),
    rows: { stop: [STOP] },
  },
  {
    name: 'scanner of JSON lines',
    open: () => new JsonLinesScanner('list-append'),
    rows: { push: [must(new Uint8Array())], finish: NOTHING },
  },
  {
    name: 'history builder',
    open: () => new TransactionHistoryBuilder(),
    rows: Object.fromEntries(
      ['begin', 'beginToken', 'read', 'write', 'readList', 'keyNumber', 'valueNumber', 'op', 'finish'].map(
        (name) => [
          name,
          new Not('parsers call it for each of millions of operations; its types are its check'),
        ],
      ),
    ),
  },
  {
    name: 'manual clock',
    open: () => manualClock(),
    rows: {
      advance: [must(1, 'a number')],
      jump: [must(1, 'a number')],
      now: NOTHING,
      monotonic: NOTHING,
      random: NOTHING,
      sleep: new Not('the seam of time: what runs on it has checked its durations'),
    },
  },
  {
    name: 'TCP proxy',
    open: () => tcpProxy({ target: { host: '127.0.0.1', port: 1 } }),
    rows: {
      delay: [must(1, 'a number')],
      blackHole: [may('up')],
      cut: NOTHING,
      refuse: NOTHING,
      heal: NOTHING,
      close: NOTHING,
    },
  },
  {
    name: 'armed failpoint',
    open: () => failpoints.arm('store.commit.after', 'pause'),
    rows: { disarm: NOTHING, resume: NOTHING, hit: new Not('the failpoint calls it') },
  },
  {
    name: 'test process',
    open: () => spawnProcess(process.execPath, ['-e', 'setTimeout(() => {}, 20_000)']),
    rows: { kill: [may('SIGKILL')], freeze: NOTHING, thaw: NOTHING, isFrozen: NOTHING },
  },
]

function replica() {
  return createReplica(store, {
    id: 'a',
    members: ['a', 'b'],
    collections: { notes: { merge: 'last-writer-wins' } },
  })
}

describe.each(SUBJECTS)('$name', ({ open, rows }) => {
  it('has a row for each method, and each refuses what it cannot take', async () => {
    const subject = (await open()) as Record<string, (...given: never[]) => unknown> &
      Partial<AsyncDisposable>
    try {
      const names = methodsOf(subject)
      expect(names.filter((name) => rows[name] === undefined)).toEqual([])
      expect(Object.keys(rows).filter((name) => !names.includes(name))).toEqual([])
      const problems: Record<string, string[]> = {}
      for (const [name, row] of Object.entries(rows)) {
        if (row instanceof Not || row.length === 0) continue
        const found = await notRefused((...given) => subject[name]?.(...given), row)
        if (found.length > 0) problems[name] = found
      }
      expect(problems).toEqual({})
    } finally {
      if ((subject as unknown) !== store) await subject[Symbol.asyncDispose]?.()
    }
  }, 60_000)
})
