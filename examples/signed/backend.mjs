// An application that takes ElevenLabs events from Caddy over a network that it does
// not trust. It believes only what the signature covers: the id, the time and the body.
// Any other header, X-ElevenLabs-* too, may have been changed on the way.
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.SIGN_KEY); // the same key as Caddy's

const server = createServer(async (request, response) => {
  const chunks = [];
  try {
    for await (const chunk of request) chunks.push(chunk);
  } catch {
    return; // Caddy broke off. Uncaught, this error would end the process.
  }
  const body = Buffer.concat(chunks); // the bytes as they came: a parser would change them
  let event;
  try {
    event = webhook.verify(body, request.headers); // returns the parsed body
  } catch (error) {
    console.log("rejected:", error.message);
    response.writeHead(401).end();
    return;
  }
  const id = request.headers["webhook-id"];

  // Your work goes here. The same event can come twice: store the id under a unique
  // index, and do nothing if it is there already.
  console.log(event.type, id, body.length, "bytes");
  response.end(id);
});

server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
