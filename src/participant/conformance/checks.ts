/** What a participant must do, seen from outside: one fact for each check. The list is the contract in code. */
import { STEP_HEADERS } from '../http/wire.ts'
import type { Answer, ConformanceClient } from './client.ts'
import { accountIs, isError, isFault, isResult, same } from './expectations.ts'

export interface ConformanceCheck {
  /** A fact. */
  readonly name: string
  run(client: ConformanceClient): Promise<void>
}

const NONE = { balance: 0, held: 0, applied: 0 }
const TEN = { balance: 10, held: 0, applied: 1 }

export const conformanceChecks: readonly ConformanceCheck[] = [
  {
    name: 'a step runs and answers with its result',
    async run(client) {
      isResult('do', await client.call('do'), { balance: 10 }, false)
      await accountIs(client, TEN)
    },
  },
  {
    name: 'a repeated step answers with the stored result and runs nothing',
    async run(client) {
      await client.call('do')
      await client.call('do', { step: 'b', input: { amount: 5 } })
      isResult('do again', await client.call('do'), { balance: 10 }, true)
      await accountIs(client, { balance: 15, held: 0, applied: 2 })
    },
  },
  {
    name: 'eight copies at once run once, and all that are answered get one result',
    async run(client) {
      const answers = await Promise.all(Array.from({ length: 8 }, () => client.call('do')))
      for (const answer of await repeatBusy(answers, () => client.call('do')))
        same('the body', answer.body, { result: { balance: 10 } })
      await accountIs(client, TEN)
    },
  },
  {
    name: 'undo gives back, once',
    async run(client) {
      await client.call('do')
      isResult('undo', await client.call('undo'), { balance: 0 }, false)
      isResult('undo again', await client.call('undo'), { balance: 0 }, true)
      await accountIs(client, NONE)
    },
  },
  {
    name: 'undo of a step that never came leaves a mark: the step that comes late is refused',
    async run(client) {
      isResult('undo', await client.call('undo'), null, true)
      isError('do, late', await client.call('do'), 410, 'STEP_UNDONE')
      isResult('undo again', await client.call('undo'), null, true)
      await accountIs(client, NONE)
    },
  },
  {
    name: 'a copy of a step that comes after its undo is refused',
    async run(client) {
      await client.call('do')
      await client.call('undo')
      isError('do, late', await client.call('do'), 410, 'STEP_UNDONE')
      await accountIs(client, NONE)
    },
  },
  {
    name: 'do and undo at once leave nothing, whichever comes first',
    async run(client) {
      for (let i = 0; i < 5; i++) {
        const step = `s${i}`
        const answers = await Promise.all([
          client.call('do', { step }),
          client.call('undo', { step }),
          client.call('do', { step }),
        ])
        if (answers[1]?.status !== 200) {
          await repeatBusy([answers[1] as Answer], () => client.call('undo', { step }))
        }
      }
      await accountIs(client, NONE)
    },
  },
  {
    name: 'a refusal says why, and nothing of the step stays',
    async run(client) {
      const answer = await client.call('do', { input: { outcome: 'refuse' } })
      isError('do', answer, 409, 'STEP_REFUSED')
      same('error.reason', answer.body.error.reason, 'asked_to')
      await accountIs(client, NONE)
    },
  },
  {
    name: 'what was refused stays refused: a copy that comes late is not accepted',
    async run(client) {
      await client.call('do', { input: { outcome: 'refuse' } })
      const answer = await client.call('do')
      isError('do again', answer, 409, 'STEP_REFUSED')
      same('error.reason', answer.body.error.reason, 'asked_to')
      isResult('undo', await client.call('undo'), null, true)
      await accountIs(client, NONE)
    },
  },
  {
    name: 'a fault is neither a result nor a refusal: nothing stays, and the step can be repeated',
    async run(client) {
      isFault('do', await client.call('do', { input: { outcome: 'fail' } }))
      await accountIs(client, NONE)
      isResult('do again', await client.call('do'), { balance: 10 }, false)
      await accountIs(client, TEN)
    },
  },
  {
    name: 'an older epoch is refused once a newer was seen, at every step of the saga',
    async run(client) {
      await client.call('do', { epoch: 2n })
      for (const [phase, step] of [
        ['do', 'a'],
        ['do', 'b'],
        ['undo', 'a'],
        ['try', 'c'],
      ] as const) {
        const answer = await client.call(phase, { step, epoch: 1n })
        isError(`${phase} of ${step}`, answer, 412, 'STALE_EPOCH')
        same('error.currentEpoch', answer.body.error.currentEpoch, '2')
      }
      await accountIs(client, TEN)
      isResult('do again', await client.call('do', { epoch: 3n }), { balance: 10 }, true)
    },
  },
  {
    name: 'a repetition raises the epoch too',
    async run(client) {
      await client.call('do', { epoch: 1n })
      await client.call('do', { epoch: 2n })
      isError('do of b', await client.call('do', { step: 'b', epoch: 1n }), 412, 'STALE_EPOCH')
      await accountIs(client, TEN)
    },
  },
  {
    name: 'epochs of one saga say nothing about another one',
    async run(client) {
      await client.call('do', { epoch: 9n })
      const other = await client.call('do', { saga: `${client.saga}-2`, epoch: 1n })
      isResult('do', other, { balance: 20 }, false)
      await accountIs(client, { balance: 20, held: 0, applied: 2 })
    },
  },
  {
    name: 'epochs have 63 bits',
    async run(client) {
      await client.call('do', { epoch: 2n ** 63n - 1n })
      const answer = await client.call('do', { step: 'b', epoch: 2n ** 63n - 2n })
      isError('do', answer, 412, 'STALE_EPOCH')
      same('error.currentEpoch', answer.body.error.currentEpoch, `${2n ** 63n - 1n}`)
    },
  },
  {
    name: 'try reserves and confirm completes, each once',
    async run(client) {
      await client.call('try')
      await accountIs(client, { balance: 0, held: 10, applied: 0 })
      await client.call('try')
      isResult('confirm', await client.call('confirm'), { balance: 10 }, false)
      isResult('confirm again', await client.call('confirm'), { balance: 10 }, true)
      await accountIs(client, TEN)
    },
  },
  {
    name: 'try reserves and cancel gives back, each once',
    async run(client) {
      await client.call('try')
      same('cancel', (await client.call('cancel')).status, 200)
      same('cancel again', (await client.call('cancel')).status, 200)
      await accountIs(client, NONE)
    },
  },
  {
    name: 'cancel of a try that never came leaves a mark: the try that comes late does not hang',
    async run(client) {
      isResult('cancel', await client.call('cancel'), null, true)
      isError('try, late', await client.call('try'), 410, 'STEP_UNDONE')
      await accountIs(client, NONE)
    },
  },
  {
    name: 'confirm after cancel, cancel after confirm and confirm without try are refused',
    async run(client) {
      await client.call('try', { step: 'a' })
      await client.call('cancel', { step: 'a' })
      isError('confirm after cancel', await client.call('confirm', { step: 'a' }), 410, 'STEP_UNDONE')
      await client.call('try', { step: 'b' })
      await client.call('confirm', { step: 'b' })
      isError('cancel after confirm', await client.call('cancel', { step: 'b' }), 410, 'STEP_CONFIRMED')
      isError('confirm without try', await client.call('confirm', { step: 'c' }), 410, 'STEP_NOT_TRIED')
      await accountIs(client, TEN)
    },
  },
  {
    name: 'names are percent-encoded, and a slash does not make two steps one',
    async run(client) {
      const saga = encodeURIComponent(`${client.saga} é 漢 "x"`)
      same('do', (await client.call('do', { saga, step: '%E6%BC%A2%2F%25' })).status, 200)
      isResult('do again', await client.call('do', { saga, step: '%E6%BC%A2%2F%25' }), { balance: 10 }, true)
      isResult(
        'do of a',
        await client.call('do', { saga: `${client.saga}/x`, step: 'y' }),
        { balance: 20 },
        false,
      )
      isResult('do of b', await client.call('do', { saga: client.saga, step: 'x/y' }), { balance: 30 }, false)
      isResult(
        'do of c',
        await client.call('do', { saga: client.saga, step: 'undo/do' }),
        { balance: 40 },
        false,
      )
    },
  },
  {
    name: 'a call that lacks a header, or has a malformed one, is refused and writes nothing',
    async run(client) {
      const good: Record<string, string> = {
        [STEP_HEADERS.saga]: client.saga,
        [STEP_HEADERS.step]: 'a',
        [STEP_HEADERS.phase]: 'do',
        [STEP_HEADERS.epoch]: '1',
      }
      const body = JSON.stringify({ account: client.account, amount: 10 })
      for (const name of Object.keys(good)) {
        const { [name]: _, ...headers } = good
        isError(`without ${name}`, await client.send({ headers, body }), 400, 'STEP_INVALID')
      }
      for (const [name, value] of [
        [STEP_HEADERS.epoch, '-1'],
        [STEP_HEADERS.epoch, '1.5'],
        [STEP_HEADERS.epoch, '9223372036854775808'],
        [STEP_HEADERS.phase, 'redo'],
        [STEP_HEADERS.saga, '%E6%BC'],
        [STEP_HEADERS.saga, 'x'.repeat(501)],
        [STEP_HEADERS.step, 'x'.repeat(151)],
        [STEP_HEADERS.step, 'nul%00'],
      ] as const) {
        const headers = { ...good, [name]: value }
        isError(`${name}: ${value.slice(0, 20)}`, await client.send({ headers, body }), 400, 'STEP_INVALID')
      }
      await accountIs(client, NONE)
    },
  },
  {
    name: 'a body that is no JSON is refused and writes nothing',
    async run(client) {
      const headers = {
        [STEP_HEADERS.saga]: client.saga,
        [STEP_HEADERS.step]: 'a',
        [STEP_HEADERS.phase]: 'do',
        [STEP_HEADERS.epoch]: '1',
      }
      isError('do', await client.send({ headers, body: '{"account":' }), 400, 'STEP_INVALID')
      await accountIs(client, NONE)
    },
  },
]

/** A participant may answer STEP_BUSY to a copy that meets another one; the caller repeats, and so does the check. */
async function repeatBusy(answers: readonly Answer[], again: () => Promise<Answer>): Promise<Answer[]> {
  const settled: Answer[] = []
  for (let answer of answers) {
    for (let tries = 0; answer.status >= 500 && tries < 20; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      answer = await again()
    }
    same('the status', answer.status, 200)
    settled.push(answer)
  }
  return settled
}
