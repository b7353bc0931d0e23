// Resample PCM16 from standard input as the player would; float32 on standard output. Usage: resample.mjs FROM TO
import { Resampler } from "../../../web/resampler.js";

const [from, to] = process.argv.slice(2).map(Number);
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const bytes = Buffer.concat(chunks);
const pcm = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
const resampler = new Resampler(from, to);
const first = resampler.process(Float32Array.from(pcm, (value) => value / 32768)).slice();
process.stdout.write(Buffer.from(Float32Array.from([...first, ...resampler.flush()]).buffer));
