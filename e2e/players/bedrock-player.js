// A player of Minecraft Bedrock (bedrock-protocol). Arguments: host, port, name. SIGUSR2: acts 20 times a second, as the
// game does, from then on; SIGTERM: leaves.
import { bedrock, VERSION } from './raknet.js'

const [host, port, username] = process.argv.slice(2)
const client = bedrock.createClient({
  host,
  port: Number(port),
  username,
  version: VERSION,
  offline: true,
  skipPing: true,
  connectTimeout: 20_000,
})
const joined = new Promise((resolve) => client.once('join', resolve))
client.on('kick', (reason) => console.log(`kicked: ${JSON.stringify(reason)}`))
client.on('error', (error) => console.log(`error: ${error.message}`))
client.on('close', () => process.exit(0))
process.on('SIGUSR2', async () => {
  await joined
  setInterval(() => client.write('tick_sync', { request_time: 0n, response_time: 0n }), 50)
})
process.on('SIGTERM', () => {
  client.close()
  // RakNet says goodbye on a thread of its own.
  setTimeout(() => process.exit(0), 500)
})
