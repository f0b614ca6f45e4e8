// bedrock-protocol over the native RakNet that is delivered with it for Linux 5, and that other versions run just as well.
import { createRequire } from 'node:module'
import os from 'node:os'

os.release = () => '5.0.0'

export const bedrock = createRequire(import.meta.url)('bedrock-protocol')
export const VERSION = '1.20.80'
