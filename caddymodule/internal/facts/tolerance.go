package facts

import "time"

// By default a signature may be DefaultPast old, as in the official SDKs, and
// DefaultFuture ahead.
const (
	DefaultPast   = 30 * time.Minute
	DefaultFuture = 5 * time.Minute
)
