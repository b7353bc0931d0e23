// Holds a conversation with OpenAI's client library for JavaScript. Standard input is one JSON object:
//   packages   folder whose node_modules holds openai and ws
//   baseURL    https://host:port/v1: this library speaks TLS alone
//   speech     what is said, as base64 of 16-bit samples at 24 kHz
//   tools      of this client
//   plan       "ask": say it and hear the answer; "weather": answer a call, interrupt a story, type
// Prints one line of JSON for each event; of audio only how many bytes it was.

import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

const { packages, baseURL, speech, tools, plan } = JSON.parse(await text(process.stdin))
const require = createRequire(`${packages}/`)
const { OpenAI } = require('openai')
const { OpenAIRealtimeWS } = require('openai/realtime/ws')

const PIECE_MS = 40
const PIECE_BYTES = 24 * PIECE_MS * 2
const said = Buffer.from(speech, 'base64')
const seen = new Map()
const waiting = []
let waits = Buffer.alloc(0)

const count = (type) => seen.get(type) ?? 0
const until = (type, times) => new Promise((resolve) => {
  waiting.push({ type, times, resolve })
  wake()
})
const wake = () => {
  for (const one of waiting.splice(0)) {
    if (count(one.type) >= one.times) one.resolve()
    else waiting.push(one)
  }
}

const call = new OpenAIRealtimeWS({ model: 'gpt-realtime' }, new OpenAI({ apiKey: 'no-key-is-needed', baseURL }))
const degrees = [21, 12]
call.on('error', (error) => {
  process.stderr.write(`${error.message}\n`)
})
call.on('event', (event) => {
  const { delta, ...rest } = event
  const line = event.type === 'response.output_audio.delta' ? { ...rest, bytes: Buffer.from(delta, 'base64').length } : event
  process.stdout.write(`${JSON.stringify(line)}\n`)
  seen.set(event.type, count(event.type) + 1)
  wake()
})
call.on('response.function_call_arguments.done', (event) => {
  const output = JSON.stringify({ degrees: degrees.shift() })
  call.send({ type: 'conversation.item.create', item: { type: 'function_call_output', call_id: event.call_id, output } })
  call.send({ type: 'response.create' })
})

const write = (words) => {
  const content = [{ type: 'input_text', text: words }]
  call.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } })
  call.send({ type: 'response.create' })
}

const microphone = async () => {
  const began = Date.now()
  for (let number = 1; call.socket.readyState === 1; number += 1) {
    const piece = Buffer.alloc(PIECE_BYTES)
    waits.copy(piece)
    waits = waits.subarray(PIECE_BYTES)
    call.send({ type: 'input_audio_buffer.append', audio: piece.toString('base64') })
    await sleep(Math.max(0, began + number * PIECE_MS - Date.now()))
  }
}

await until('session.created', 1)
call.send({ type: 'session.update', session: { type: 'realtime', instructions: 'Be kind.', tools, tool_choice: 'auto' } })
await until('session.updated', 1)
const speaking = microphone()
waits = said
await until('response.done', 2)
if (plan === 'weather') {
  write('story')
  await until('response.output_audio.delta', count('response.output_audio.delta') + 20)
  waits = said
  await until('response.done', 5)
  write('the end')
  await until('response.done', 6)
}
call.close()
await speaking
