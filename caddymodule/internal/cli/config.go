package cli

import "time"

// Config is what doctor looks at in a Caddy configuration.
type Config struct {
	// File is the configuration's file.
	File string
	// Problem is why Caddy does not take the configuration; nil if it does.
	Problem error
	// Handlers are the elevenlabs_webhook handlers in it.
	Handlers []ConfigHandler
}

// ConfigHandler is an elevenlabs_webhook handler, and how requests get to it.
type ConfigHandler struct {
	// Listen are the ports of its server; Plain says that it speaks plain HTTP.
	Listen []uint
	Plain  bool
	// Hosts and Paths are those of the matchers on the way to the handler.
	Hosts, Paths []string

	Secrets   []ConfigSecret
	Upstreams []ConfigUpstream

	Past, Future          time.Duration
	AllowHTTP, ReportOnly bool

	// Events are the types that are handed on; none are all.
	Events []string
}

// ConfigSecret is a signing secret of a handler.
type ConfigSecret struct {
	// Text is the secret as the configuration has it, which is usually a
	// placeholder; Literal says that it is none, but the secret itself.
	Text    string
	Literal bool
	Name    string
	// Value is the secret itself, with all that stands round it; Problem is why
	// it cannot be had.
	Value   string
	Problem error
}

// ConfigUpstream is an application behind a handler.
type ConfigUpstream struct {
	// Text is as the configuration has it.
	Text string
	// Network and Address are for net.Dial. They are empty if they are known only
	// when a request comes.
	Network, Address string
}
