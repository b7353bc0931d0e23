// A server on Node's http2 (nghttp2) with a small window. Prints its port, and serves until its standard input ends.
import http2 from "node:http2";
import { readFileSync } from "node:fs";

const [certificate, key] = process.argv.slice(2);
const settings = { initialWindowSize: 32768, maxConcurrentStreams: 5, headerTableSize: 0 };
const server = certificate
  ? http2.createSecureServer({ settings, cert: readFileSync(certificate), key: readFileSync(key) })
  : http2.createServer({ settings });

server.on("sessionError", () => {});
server.on("stream", (stream, headers) => {
  stream.on("error", () => {});
  switch (headers[":path"]) {
    case "/echo":
      stream.respond({ ":status": 200, "content-type": "application/octet-stream" });
      stream.pipe(stream);
      break;
    case "/informed":
      stream.additionalHeaders({ ":status": 103, link: "</x>" });
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-checksum": "1" }));
      stream.end("informed");
      break;
    case "/refuse":
      stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
      break;
    case "/fail":
      stream.respond({ ":status": 200 });
      stream.write("begun", () => stream.destroy(new Error("fails"))); // close() would end the response in order before it resets
      break;
    case "/leave":
      stream.respond({ ":status": 200 });
      stream.session.goaway(http2.constants.NGHTTP2_NO_ERROR, stream.id);
      stream.pipe(stream);
      break;
    default:
      stream.respond({ ":status": 404 }, { endStream: true });
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit());
