/**
 * Say what is in a WAV file to the server, and write what was heard of its answers into another.
 *
 *   node talk.mjs ws://localhost:8081/ question.wav answers.wav [seconds to listen when the question is over]
 *
 * Node has WebSocket from version 22 on; version 20 needs `node --experimental-websocket`. Where the server asks who you are, put a token into
 * the environment variable TOKEN.
 */

import { readFile, writeFile } from "node:fs/promises";
import { Call } from "./client.js";
import { wavDevices } from "./wav.js";

const [url, question, answers, stay = "10"] = process.argv.slice(2);
const file = await readFile(question);
const devices = wavDevices(file.buffer.slice(file.byteOffset, file.byteOffset + file.length), Number(stay), () => call.end());
const told = (message) => message.type !== "ack" && console.log(message.type, message.text ?? message.message ?? message.code ?? "");
const call = new Call(url, { ...devices, told, token: process.env.TOKEN });
const reason = await call.run();
await writeFile(answers, new Uint8Array(devices.answers()));
console.log("ended:", reason);
