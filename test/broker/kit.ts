import { afterEach, beforeEach, describe, expect, it } from 'vitest'

export const kit = { describe, it, expect, beforeEach, afterEach }
