package facts

import "time"

// InboxLongWait is how long an event waits in an inbox until that is a problem: by then,
// it was tried several times.
const InboxLongWait = 15 * time.Minute
