import { usersFrames } from '../core/users-frames.ts'

/** Where in the user's files an error comes from. */
export function framesOf(error: unknown): string[] {
  const { stack } = (error ?? {}) as { stack?: unknown }
  return typeof stack === 'string' ? usersFrames(stack).map(({ text }) => text) : []
}
