import { checkParticipant } from '../../participant/index.ts'
import { parseAge } from '../age.ts'
import { usageError } from '../cli-error.ts'
import { type Command, EXIT, type Given, textValue } from '../command.ts'

export const participantCheck: Command = {
  name: 'participant check',
  summary: 'examine an HTTP participant, in whatever language it is written',
  description: [
    'The service offers POST <URL>/step and GET <URL>/accounts/<id>, as docs/reference/participants.md says.',
    'It writes to accounts with random names. Ends with 1 when a check fails.',
  ].join('\n'),
  positionals: ['URL'],
  options: {
    timeout: { type: 'string', value: 'AGE', summary: 'the longest wait for one answer; default 10s' },
  },
  examples: [
    { line: 'holdfast participant check http://localhost:8080/holdfast', does: 'every check, one line each' },
  ],
  async run(given) {
    const url = readUrl(given)
    const timeout = textValue(given, 'timeout')
    const results = await checkParticipant(url, {
      timeoutMs: timeout === undefined ? 10_000 : parseAge('timeout', timeout),
    })
    const failed = results.filter((result) => !result.passed)
    const lines = results.map(
      ({ name, passed, problem }) =>
        `${passed ? 'ok    ' : 'FAILED'}  ${name}${problem === undefined ? '' : `\n        ${problem}`}\n`,
    )
    return {
      exitCode: failed.length > 0 ? EXIT.problem : EXIT.ok,
      text: `${lines.join('')}\n${results.length - failed.length} of ${results.length} passed\n`,
      data: { url, ok: failed.length === 0, results },
    }
  },
}

function readUrl(given: Given): string {
  const text = given.positionals[0] as string
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw usageError(`URL must begin with http:// or https://, got "${text}"`)
  return text
}
