import crypto from "crypto";

// same compares in constant time. njs has no function for that.
function same(a, b) {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}

function verify(r) {
  const header = r.headersIn["ElevenLabs-Signature"];
  if (!header) return r.return(400);
  const parts = /^t=([0-9]{1,12}),v0=([0-9a-f]{64})$/.exec(header);
  if (!parts) return r.return(400);
  const mac = crypto.createHmac("sha256", process.env.WEBHOOK_SECRET).update(parts[1] + ".").update(r.requestBuffer || "").digest("hex");
  if (!same(mac, parts[2])) return r.return(401);
  if (Math.abs(Date.now() / 1000 - Number(parts[1])) > 1800) return r.return(403);
  r.internalRedirect("@backend");
}

export default { verify };
