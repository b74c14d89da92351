package caddymodule

import (
	"net/http"
)

// showInboxes shows the state of each inbox.
func showInboxes(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, inboxStatuses(r.Context()))
}
