/** WAV files as microphone and loudspeaker: mono, 16 bit. */

/**
 * @param {ArrayBuffer} file
 * @returns {{hertz: number, samples: Int16Array}}
 */
export function readWav(file) {
  const view = new DataView(file);
  const name = (at) => String.fromCharCode(...new Uint8Array(file, at, 4));
  let hertz = 0;
  for (let at = 12; at + 8 <= file.byteLength; at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) % 2)) {
    if (name(at) === "fmt ") {
      if (view.getUint16(at + 10, true) !== 1 || view.getUint16(at + 22, true) !== 16) throw new Error("not mono, 16 bit");
      hertz = view.getUint32(at + 12, true);
    }
    if (name(at) === "data") return { hertz, samples: new Int16Array(file.slice(at + 8, at + 8 + view.getUint32(at + 4, true))) };
  }
  throw new Error("not a WAV file");
}

/**
 * @param {number} hertz
 * @param {Int16Array[]} pieces
 * @returns {ArrayBuffer} a WAV file
 */
export function writeWav(hertz, pieces) {
  const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  const file = new ArrayBuffer(44 + bytes);
  const view = new DataView(file);
  const put = (at, text) => [...text].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  put(0, "RIFF");
  view.setUint32(4, 36 + bytes, true);
  put(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, hertz, true);
  view.setUint32(28, 2 * hertz, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  put(36, "data");
  view.setUint32(40, bytes, true);
  let at = 44;
  for (const piece of pieces) {
    new Int16Array(file, at, piece.length).set(piece);
    at += piece.byteLength;
  }
  return file;
}

/**
 * Devices for a Call: a question to be said once, and the answers as they are heard.
 *
 * @param {ArrayBuffer} question a WAV file
 * @param {number} staySeconds how long to listen when the question is over
 * @param {() => void} onOver called then
 */
export function wavDevices(question, staySeconds, onOver) {
  const { hertz, samples } = readWav(question);
  const pieces = [];
  let at = 0;
  const record = (count) => {
    const piece = samples.subarray(at, at + count);
    at += count;
    if (at > samples.length + staySeconds * hertz) onOver();
    return piece;
  };
  return { hertz, record, play: (heard) => pieces.push(heard.slice()), answers: () => writeWav(hertz, pieces) };
}
