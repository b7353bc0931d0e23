/**
 * Binary frames of the page's protocol: 16 bytes of header, then PCM16. docs/reference/binary-dialect.md describes them.
 * Pure.
 */

export const HEADER_BYTES = 16;
export const MICROPHONE = 1;
export const SPEECH = 2;

/**
 * Write the header into a frame whose samples are there already, so that nothing is copied.
 *
 * @param {ArrayBuffer} frame HEADER_BYTES of room, then signed 16-bit little-endian samples
 * @param {{kind: number, turn?: number, seq: number, sampleOffset: number, timeMs: number}} header counters wrap at 32 bits
 */
export function writeHeader(frame, { kind, turn = 0, seq, sampleOffset, timeMs }) {
  const view = new DataView(frame);
  view.setUint8(0, kind);
  view.setUint16(2, turn, true);
  view.setUint32(4, seq, true);
  view.setUint32(8, sampleOffset, true);
  view.setUint32(12, Math.round(timeMs), true);
}

/**
 * Decode a frame.
 *
 * @param {ArrayBuffer} frame
 * @returns {{kind: number, flags: number, turn: number, seq: number, sampleOffset: number, timeMs: number, pcm: Int16Array} | null}
 *   the samples are a view of the frame; null when it is too short or does not hold whole samples
 */
export function decodeFrame(frame) {
  if (frame.byteLength < HEADER_BYTES || frame.byteLength % 2 !== 0) return null;
  const view = new DataView(frame);
  return {
    kind: view.getUint8(0),
    flags: view.getUint8(1),
    turn: view.getUint16(2, true),
    seq: view.getUint32(4, true),
    sampleOffset: view.getUint32(8, true),
    timeMs: view.getUint32(12, true),
    pcm: new Int16Array(frame, HEADER_BYTES),
  };
}
