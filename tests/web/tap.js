// Records exactly what goes to the loudspeaker.
class Tap extends AudioWorkletProcessor {
  process(inputs) {
    if (inputs[0].length > 0) this.port.postMessage(inputs[0][0].slice());
    return true;
  }
}
registerProcessor("test-tap", Tap);
