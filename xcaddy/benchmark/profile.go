package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// profile starts a CPU profile of a Caddy under the work, for the duration in
// whole seconds. It writes the profile to a file in the folder, and returns a
// function that waits until the file is complete.
func profile(c *contender, w work, folder string, duration time.Duration) (wait func()) {
	if folder == "" || c.admin == "" {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		response, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%.0f", c.admin, max(1, duration.Seconds())))
		check(err)
		defer response.Body.Close()
		name := strings.NewReplacer(" ", "_", ",", "").Replace(w.name + "-" + c.name + ".pprof")
		file, err := os.Create(filepath.Join(folder, name))
		check(err)
		_, err = io.Copy(file, response.Body)
		check(err)
		check(file.Close())
	}()
	return func() { <-done }
}
