/** Waits until all have ended, however they ended. */
export async function settle(promises: readonly (Promise<unknown> | undefined)[]): Promise<void> {
  await Promise.allSettled(promises.filter((p) => p !== undefined))
}
