// Plays conversations with AWS's client for JavaScript. Standard input is one JSON object:
//   packages   folder whose node_modules holds @aws-sdk/client-bedrock-runtime
//   endpoint, modelId, runs
//   steps      [{send: [event, ...], until: {name, members} | null}, ...], see tests/emulator/conversation.py
// Prints one line of JSON for each event that was heard, {run, event}, and at the orderly end of a run {run, end: true}.

import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'

const { packages, endpoint, modelId, runs, steps } = JSON.parse(await text(process.stdin))
const require = createRequire(`${packages}/`)
const { BedrockRuntimeClient, InvokeModelWithBidirectionalStreamCommand } = require('@aws-sdk/client-bedrock-runtime')

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)
const matches = (event, { name, members }) =>
  name in event && Object.entries(members).every(([key, value]) => event[name][key] === value)

/** What has been heard in one conversation; `wait` resolves when an event comes that matches and was not there at `from`. */
class Heard {
  #events = []
  #waiting = []

  get count() {
    return this.#events.length
  }

  get toolUseId() {
    return this.#events.findLast((event) => 'toolUse' in event)?.toolUse.toolUseId
  }

  add(event) {
    this.#events.push(event)
    const reached = this.#waiting.filter(({ until }) => matches(event, until))
    this.#waiting = this.#waiting.filter(({ until }) => !matches(event, until))
    reached.forEach(({ resolve }) => resolve())
  }

  wait(until, from) {
    if (this.#events.slice(from).some((event) => matches(event, until))) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ until, resolve }))
  }
}

async function* input(heard) {
  const encoder = new TextEncoder()
  for (const { send, until } of steps) {
    const from = heard.count
    for (const event of send) {
      const json = JSON.stringify(event).replaceAll('$toolUseId', heard.toolUseId)
      yield { chunk: { bytes: encoder.encode(json) } }
    }
    if (until) await heard.wait(until, from)
  }
}

async function converse(client, run) {
  const heard = new Heard()
  const response = await client.send(new InvokeModelWithBidirectionalStreamCommand({ modelId, body: input(heard) }))
  for await (const output of response.body) {
    if (!output.chunk) throw new Error(`not a chunk: ${Object.keys(output)}`)
    const { event } = JSON.parse(new TextDecoder().decode(output.chunk.bytes))
    heard.add(event)
    print({ run, event })
  }
  print({ run, end: true })
}

const client = new BedrockRuntimeClient({ region: 'us-east-1', endpoint })
for (let run = 1; run <= runs; run += 1) await converse(client, run)
client.destroy()
