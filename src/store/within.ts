import { StoreUnavailableError } from './errors.ts'

/** The server gave no answer in time; what it does meanwhile is unknown. */
export class Late extends StoreUnavailableError {}

/** Rejects with `Late` when `promise` has not settled after `ms`. The promise itself goes on. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Late('the server gave no answer in time', 'unknown')), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
