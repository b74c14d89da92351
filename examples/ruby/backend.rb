# An application that takes ElevenLabs events from Caddy. In Rails or Sinatra,
# HANDLER is a controller or a route. The rest is a small HTTP server, since Ruby
# has none in its standard library.
#
# It must listen on 127.0.0.1. The X-ElevenLabs-* headers can be trusted only
# because nobody except Caddy reaches the application.
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

  # Your work goes here. ElevenLabs may send the same event twice: store event_id
  # under a unique index, and do nothing if it is there already. Store or queue the
  # body, answer, and then work on JSON.parse(body).
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
    # Caddy broke off
  ensure
    connection.close
  end
end
