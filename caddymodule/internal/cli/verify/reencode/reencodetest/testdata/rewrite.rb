# Reads a list of bodies, and writes what Ruby makes of each: rewritten forms, and
# others by the name of the change that verify --explain finds.
require "json"
bodies = JSON.parse(STDIN.read)
forms = {
  "rewritten" => {
    "plain" => ->(body) { JSON.generate(JSON.parse(body)) },
    "pretty" => ->(body) { JSON.pretty_generate(JSON.parse(body)) + "\n" },
  },
  "carried" => {
    "ruby_inspect" => ->(body) { JSON.parse(body).inspect },
    "ruby_inspect, symbols" => ->(body) { JSON.parse(body, symbolize_names: true).inspect },
    "body_base64, by Ruby" => ->(body) { [body].pack("m") },
  },
}
puts JSON.generate(forms.transform_values { |writes| writes.transform_values { |write| bodies.map(&write) } })
