/** The code of the error with which a promise rejects, or the thrown value where it has none; `fulfilled` otherwise. */
export function codeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'fulfilled',
    (error) => error.code ?? error,
  )
}
