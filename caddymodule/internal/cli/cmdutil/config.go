package cmdutil

import "time"

// Config is the part of a Caddy configuration that doctor checks.
type Config struct {
	// File is the configuration's file.
	File string
	// Problem is why Caddy rejects the configuration; nil if it loads.
	Problem error
	// Admin is the address of the admin endpoint, or empty if there is none.
	Admin string
	// Handlers are the elevenlabs_webhook handlers in it.
	Handlers []ConfigHandler
}

// ConfigHandler is an elevenlabs_webhook handler, and how requests reach it.
type ConfigHandler struct {
	// Name is the handler's name for the operator, as on the admin endpoint.
	Name string
	// Listen are the ports of the handler's server. Plain reports whether the
	// server speaks plain HTTP.
	Listen []uint
	Plain  bool
	// Hosts and Paths are those of the matchers in front of the handler.
	Hosts, Paths []string

	// Secrets are those that events must be signed with. SignKeys are those that the
	// handler signs with for its backend.
	Secrets, SignKeys []ConfigSecret

	Upstreams []ConfigUpstream
	// Bypasses are other ways to the upstreams.
	Bypasses []ConfigBypass

	// MaxSize is the largest body that the handler takes. BodyLimit is the smallest
	// of request_body in front of the handler, or 0 without one.
	MaxSize, BodyLimit int64

	Past, Future          time.Duration
	AllowHTTP, ReportOnly bool

	// Events are the types that the handler forwards. Empty means all.
	Events []string
	// UnknownTypes are those of events, or of a destination's, that this version does not know.
	UnknownTypes []string

	// Inbox is nil without one.
	Inbox *ConfigInbox
}

// ConfigInbox is the inbox of a handler.
type ConfigInbox struct {
	Name string
	// Destinations are the names of its destinations, if they have names.
	Destinations []string
	// Database is the path or the URL of the database, without user and password.
	// Problem is why it cannot be read.
	Database string
	Problem  error
	// Path is the database's file, or empty for Postgres. MakesFolder reports whether
	// Caddy makes the folder of the file.
	Path        string
	MakesFolder bool
	// Password reports whether the configuration has the password of the database.
	Password bool
	// Limit is how many bytes the bodies may hold.
	Limit int64
}

// ConfigSecret is a secret of a handler.
type ConfigSecret struct {
	// Text is the secret as written in the configuration, usually a placeholder.
	// Literal reports whether it is the secret itself.
	Text    string
	Literal bool
	Name    string
	// Value is the secret itself, with any blanks around it. Problem is why the
	// value cannot be read.
	Value   string
	Problem error
}

// ConfigUpstream is a backend of a handler.
type ConfigUpstream struct {
	// Destination is the destination of the inbox that it belongs to. It is empty without
	// named destinations.
	Destination string
	// Text is the upstream as written in the configuration.
	Text string
	// Network and Address are the arguments for net.Dial. Both are empty if only
	// a request determines them.
	Network, Address string
}

// ConfigBypass is a way to a handler's backend that does not pass the handler.
type ConfigBypass struct {
	// Host and Path are those of a request that takes it. Host is empty if any
	// host does. Path is empty if paths other than the webhook's do.
	Host, Path string
	// Upstream is the backend.
	Upstream string
	// Stripped reports whether elevenlabs_strip is on the way.
	Stripped bool
	// OtherSite reports whether the handler is for another host or server.
	OtherSite bool
	// Error reports whether only requests that another handler failed take it.
	Error bool
}
