package main

import (
	"bytes"
	"net/http"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The recording of an hour takes about 60 MiB, and a third more in its event.
func TestALongRecordingIsNeverWhollyInTheCommandsMemory(t *testing.T) {
	p := newPhone(t, 2)
	p.mp3 = bytes.Repeat([]byte{0xff, 0xfb, 0x94}, 20<<20)
	if raceDetector {
		p.mp3 = p.mp3[:3<<20] // which takes minutes otherwise
	}
	b := newBackend(t)
	s := start(t, inboxSite(b.address(), newInboxFile(t), ""))
	s.awaitInbox()
	command := exec.Command(binary, append([]string{"elevenlabs"}, s.backfillArgs("--audio", "--address", s.admin)...)...)
	output := new(lockedBuffer)
	command.Stdout, command.Stderr = output, output
	started, taken := make(chan struct{}), make(chan int, 2)
	p.onRead(func(string, *http.Request) { // the command has sent all of the call before
		<-started
		taken <- (&server{t: t, command: command}).peakMemory()
	})
	require.NoError(t, command.Start())
	close(started)
	require.NoError(t, command.Wait(), output)
	require.Contains(t, output.String(), "4 sent, 0 skipped, 0 failed")
	before, after := <-taken, <-taken
	s.eventually("all to be delivered", func() bool { return s.inboxCount("delivered") == 4 })
	backfilled, _ := marked(t, b.take())
	assert.Equal(t, idsOf(append(p.events(0, true), p.events(1, true)...)...), backfilled)
	t.Log("MiB of memory before and after:", before, after)
	require.Positive(t, before)
	if !raceDetector {
		assert.Less(t, after-before, 24, "MiB more")
	}
}
