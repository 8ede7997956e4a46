import { isHoldfastError } from '../../core/errors.ts'
import { checkArguments, hasMethods, isText } from '../../core/options.ts'
import type { Replica } from '../replica.ts'

/** The longest question: a page of record names. */
const QUESTION_MAX = 262_144

/**
 * Answers a question of a peer that comes as the body of a POST. It hands out every record: mount it behind an
 * authentication of your own. Rejects for no body of a peer's.
 * @throws ConfigError for what is no replica, or a body that is no text (of a framework that parses JSON: stringify it)
 */
export async function answerPeerRequest(
  replica: Pick<Replica, 'answer'>,
  body: string,
): Promise<{ readonly status: number; readonly body: string }> {
  checkArguments(
    'answerPeerRequest',
    hasMethods('replica', replica, 'what createReplica gives', 'answer'),
    isText('body', body),
  )
  try {
    if (body.length > QUESTION_MAX) return { status: 413, body: '{"error":"TOO_LONG"}' }
    return { status: 200, body: JSON.stringify(await replica.answer(JSON.parse(body))) }
  } catch (error) {
    const code = isHoldfastError(error)
      ? error.code
      : error instanceof SyntaxError
        ? 'PAYLOAD_INVALID'
        : 'INTERNAL'
    const status = code === 'PAYLOAD_INVALID' || code === 'CONFIG_INVALID' ? 400 : 503
    return { status, body: JSON.stringify({ error: code }) }
  }
}
