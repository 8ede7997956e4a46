/** The bodies of the wire form as JSON Schema (2020-12), for other languages and for tests. */
export const stepResultSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'The body of an answer with status 200',
  type: 'object',
  required: ['result'],
  properties: { result: { description: 'any JSON; null when the step gives nothing' } },
  additionalProperties: false,
} as const

export const stepErrorSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'The body of every other answer',
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'message'],
      properties: {
        code: {
          enum: [
            'STEP_INVALID',
            'STEP_REFUSED',
            'STEP_UNDONE',
            'STEP_CONFIRMED',
            'STEP_NOT_TRIED',
            'STALE_EPOCH',
            'STEP_BUSY',
            'STEP_FAILED',
          ],
        },
        message: { type: 'string' },
        reason: { type: 'string', minLength: 1, description: 'with STEP_REFUSED: a word for programs' },
        details: { type: 'object', description: 'with STEP_REFUSED: more, for programs' },
        currentEpoch: {
          type: 'string',
          pattern: '^[0-9]{1,19}$',
          description: 'with STALE_EPOCH: the newest epoch seen for this saga',
        },
        issues: {
          type: 'array',
          items: {
            type: 'object',
            required: ['path', 'message'],
            properties: { path: { type: 'string' }, message: { type: 'string' } },
          },
          description: 'with STEP_INVALID: where the body does not fit',
        },
      },
      additionalProperties: false,
    },
  },
  additionalProperties: false,
} as const
