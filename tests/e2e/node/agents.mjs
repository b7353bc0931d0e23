// Lets one voice agent hand its conversation over to another with OpenAI's agents library. Standard input is one JSON object:
//   packages   folder whose node_modules holds @openai/agents-realtime
//   url        ws://host:port/v1/realtime
// Prints one line of JSON: who handed over to whom, what the second agent's tool was asked for, what was said, and the errors.

import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

const { packages, url } = JSON.parse(await text(process.stdin))
const { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } = createRequire(`${packages}/`)('@openai/agents-realtime')

const TRIES = 40
const seen = { handoffs: [], places: [], said: [], errors: [] }
let wake = () => {}

const tellNews = tool({
  name: 'tellNews',
  description: 'Tell the news of a place.',
  strict: false,
  parameters: { type: 'object', properties: { place: { type: 'string' } }, required: ['place'], additionalProperties: true },
  execute: async ({ place }) => {
    seen.places.push(place)
    return JSON.stringify({ headline: 'Nothing happened.' })
  },
})
const reporter = new RealtimeAgent({ name: 'Reporter', handoffDescription: 'Knows the news.', instructions: 'Tell news.', tools: [tellNews] })
const desk = new RealtimeAgent({ name: 'Desk', instructions: 'Be kind.', handoffs: [reporter] })
const session = new RealtimeSession(desk, { transport: new OpenAIRealtimeWebSocket({ url }), model: 'carlos' })
session.on('error', (error) => seen.errors.push(error.error ?? String(error)))
session.on('agent_handoff', (_context, from, to) => seen.handoffs.push([from.name, to.name]))
session.transport.on('*', (event) => {
  if (event.type !== 'response.output_audio_transcript.done') return
  seen.said.push(event.transcript)
  wake()
})

const ask = async (words) => {
  const before = seen.said.length
  session.sendMessage(words)
  while (seen.said.length === before) await new Promise((resolve) => { wake = resolve })
}

await session.connect({ apiKey: 'no-key-is-needed', url })
await ask('transfer')
for (let number = 0; number < TRIES && seen.places.length === 0; number += 1) {
  await ask('news') // until the model's next stream knows the second agent's tool
  await sleep(250)
}
process.stdout.write(`${JSON.stringify(seen)}\n`)
session.close()
