# An application that takes ElevenLabs events from Caddy. HANDLER is what you
# would write in a Rails controller or a Sinatra route; the rest is an HTTP server
# of a few lines, since Ruby comes without one.
#
# It listens on 127.0.0.1 only: that nobody but Caddy reaches it is what makes the
# X-ElevenLabs-* headers worth believing.
require "digest"
require "json"
require "socket"

HANDLER = lambda do |headers, body|
  event = {
    event_type: headers["x-elevenlabs-event-type"],
    event_id: headers["x-elevenlabs-event-id"],
    conversation_id: headers["x-elevenlabs-conversation-id"],
    agent_id: headers["x-elevenlabs-agent-id"],
    secret_name: headers["x-elevenlabs-secret-name"],
    verified: headers["x-elevenlabs-verified"],
    bytes: body.bytesize,
    sha256: Digest::SHA256.hexdigest(body)
  }

  # Here your work begins. The same event may come twice: put event_id under a
  # unique index, and do nothing if it is there already. Store the body or queue
  # it, answer, and work on it later (JSON.parse(body)).
  puts "#{event[:event_type]} #{event[:event_id]} #{body.bytesize} bytes"

  JSON.generate(event)
end

$stdout.sync = true
server = TCPServer.new("127.0.0.1", Integer(ENV.fetch("PORT", "3000")))
loop do
  Thread.new(server.accept) do |connection|
    while connection.gets # the request line
      headers = {}
      while (line = connection.gets) && line != "\r\n"
        name, value = line.split(":", 2)
        headers[name.downcase] = value.strip
      end
      length = Integer(headers.fetch("content-length", "0"))
      body = connection.read(length)
      break if body.nil? || body.bytesize < length

      answer = HANDLER.call(headers, body)
      connection.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: #{answer.bytesize}\r\n\r\n#{answer}")
    end
  rescue SystemCallError, IOError
    # the client went away
  ensure
    connection.close
  end
end
