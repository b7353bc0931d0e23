/**
 * A whole client of docs/reference/binary-dialect.md for browsers and Node, without dependencies.
 *
 *   const call = new Call("ws://localhost:8081/", { hertz: 16000, record: (count) => ..., play: (samples) => ... });
 *   const reason = await call.run();
 *
 * `record` gives up to `count` samples (Int16Array) of what the microphone hears, silence when it gives fewer; `play` gets what the loudspeaker
 * plays. Both are called 31 times a second, connected or not, as a sound card would.
 */

const HEADER_BYTES = 16; // kind, flags, turn, number, sample offset, time in ms
const TICK_MS = 32;
const TELL_MS = 250;
const KEPT_FRAMES = 1000; // 32 s
const SILENT_MS = 5000; // the server acknowledges four times a second, so this much silence is a dead network
const TRY_AGAIN = [1001, 1006, 1011, 1012, 1013, 4429]; // close codes

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** One session, over as many connections as it takes. */
export class Call {
  /**
   * @param {string} url of the server
   * @param {{hertz: number, record: (count: number) => Int16Array, play: (samples: Int16Array) => void, told?: (message: object) => void, token?: string}} options
   *   `hertz` is 8000, 16000 or 24000; `told` sees every message; `token` says who you are, where the server asks
   */
  constructor(url, { hertz, record, play, told = () => {}, token = "" }) {
    Object.assign(this, { url, hertz, record, play, told });
    this.protocols = ["nova-sonic.v1", ...(token ? [`bearer.${token}`] : [])];
    this.endReason = "";
    this.isStarted = false;
    this.isOver = false; // we want it to end
    this.token = "";
    this.wanted = 0; // number of the server's next frame; numbers wrap at 2^32, after years
    this.numbered = 0; // how many frames of ours have a number
    this.kept = []; // [number, frame]: those that the server may lack
    this.speech = []; // [turn, samples] that wait to be played
    this.turn = this.heardSamples = this.flushedTurn = 0;
  }

  /** Talk until the session has ended; tell why it did. */
  async run() {
    for (let tries = 0; !this.endReason && tries < 8; tries += 1) {
      const code = await this.#connect(() => (tries = 0));
      if (!TRY_AGAIN.includes(code) || (this.isStarted && !this.token)) this.endReason ||= `closed with ${code}`;
      if (!this.endReason) await wait(Math.random() * Math.min(20_000, 500 * 2 ** tries));
    }
    this.isOver = true;
    return this.endReason || "the server could not be reached";
  }

  /** Ask the server to end the session. */
  end() {
    this.isOver = true;
  }

  #connect(onSession) {
    const socket = new WebSocket(this.url, this.protocols);
    socket.binaryType = "arraybuffer";
    const resume = { type: "resume", protocol: 1, token: this.token, seq: this.wanted };
    const hello = { type: "hello", protocol: 1, resume: true, input_hertz: this.hertz, output_hertz: this.hertz };
    socket.onopen = () => socket.send(JSON.stringify(this.token ? resume : hello));
    let seen = performance.now();
    socket.onmessage = ({ data }) => {
      seen = performance.now();
      if (typeof data !== "string") return this.#hear(data);
      const message = JSON.parse(data);
      if (message.type === "session.started" || message.type === "session.resumed") {
        onSession();
        this.token = message.resume_token ?? "";
        this.socket = socket;
        const first = message.type === "session.resumed" ? message.seq : 0;
        for (const [number, frame] of this.kept) if (number >= first) socket.send(frame);
        if (!this.isStarted) this.#recordAndPlay();
        this.isStarted = true;
      }
      this.#take(message);
    };
    return new Promise((done) => {
      const leave = ({ code }) => {
        socket.onmessage = socket.onclose = socket.onerror = null;
        clearInterval(telling);
        this.socket = null;
        this.told({ type: "closed", code });
        done(code);
      };
      const telling = setInterval(() => {
        if (performance.now() - seen > SILENT_MS) {
          socket.close(4000);
          leave({ code: 1006 });
        } else if (this.socket) this.#tell();
      }, TELL_MS);
      socket.onclose = leave;
      socket.onerror = () => leave({ code: 1006 }); // browsers tell of the close as well, Node 20 does not always
    });
  }

  #take(message) {
    this.told(message);
    const { type } = message;
    if (type === "ack") {
      this.kept = this.kept.filter(([number]) => number >= message.seq);
    } else if (type === "error" && (!this.isStarted || message.code === "resume_refused")) {
      this.endReason = message.code;
    } else if ("seq" in message && type !== "session.resumed" && this.#isNew(message.seq)) {
      if (type === "interrupted") {
        this.flushedTurn = message.turn;
        this.speech = this.speech.filter(([turn]) => turn > message.turn);
        this.#report();
      } else if (type === "session.ended" && message.reason !== "parked") {
        this.endReason = message.reason; // parked: another process goes on with it
      }
    }
    if (this.endReason) this.socket?.close(1000);
  }

  #hear(frame) {
    const header = new DataView(frame);
    const turn = header.getUint16(2, true);
    if (this.#isNew(header.getUint32(4, true)) && turn > this.flushedTurn) this.speech.push([turn, new Int16Array(frame, HEADER_BYTES)]);
  }

  #isNew(number) {
    const isNew = number >= this.wanted;
    this.wanted = Math.max(this.wanted, number + 1);
    return isNew;
  }

  async #recordAndPlay() {
    const began = performance.now();
    const count = Math.round((this.hertz * TICK_MS) / 1000);
    while (!this.isOver) {
      const frame = new ArrayBuffer(HEADER_BYTES + 2 * count);
      const header = new DataView(frame);
      header.setUint8(0, 1);
      header.setUint32(4, this.numbered, true);
      header.setUint32(8, this.numbered * count, true);
      header.setUint32(12, this.numbered * TICK_MS, true);
      new Int16Array(frame, HEADER_BYTES).set(this.record(count));
      this.kept.push([this.numbered, frame]);
      if (this.kept.length > KEPT_FRAMES) this.kept.shift();
      this.numbered += 1;
      this.socket?.send(frame);
      this.#playTick(count);
      await wait(began + this.numbered * TICK_MS - performance.now());
    }
  }

  #playTick(count) {
    while (this.speech.length && count > 0) {
      const [turn, samples] = this.speech.shift();
      if (turn !== this.turn) [this.turn, this.heardSamples] = [turn, 0];
      if (samples.length > count) this.speech.unshift([turn, samples.subarray(count)]);
      const now = samples.subarray(0, count);
      this.play(now);
      this.heardSamples += now.length;
      count -= now.length;
    }
  }

  #tell() {
    this.socket.send(JSON.stringify({ type: "ack", seq: this.wanted }));
    this.#report();
    if (this.isOver) this.socket.send(JSON.stringify({ type: "end" }));
  }

  #report() {
    const heard = Math.floor((this.heardSamples * 1000) / this.hertz);
    if (this.turn) this.socket?.send(JSON.stringify({ type: "playback", turn: this.turn, heard_ms: heard }));
  }
}
