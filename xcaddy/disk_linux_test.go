package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// spooled returns the bytes that the server's temporary files take on disk, with or
// without a name.
func (s *server) spooled() (bytes int64) {
	descriptors, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.command.Process.Pid))
	for _, descriptor := range descriptors {
		if target, err := os.Readlink(descriptor); err != nil || filepath.Dir(target) != s.spool {
			continue
		}
		if info, err := os.Stat(descriptor); err == nil {
			bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
	}
	return bytes
}

// A fault of the disk answers 503, so that ElevenLabs retries. Events that fit into memory
// still pass, and the server needs no restart afterwards.
func TestFaultOfTheDiskIs503AndClearsWithoutARestart(t *testing.T) {
	for name, disk := range map[string]func(t *testing.T, s *server, dir string) (fail, repair func()){
		"a full filesystem": func(t *testing.T, _ *server, dir string) (fail, repair func()) {
			filler := filepath.Join(dir, "filler")
			return func() {
					file, err := os.Create(filler)
					require.NoError(t, err)
					defer file.Close()
					_, err = io.Copy(file, zeros{})
					require.ErrorIs(t, err, syscall.ENOSPC)
				}, func() {
					require.NoError(t, os.Remove(filler))
				}
		},
		"a limit of file size": func(t *testing.T, s *server, _ string) (fail, repair func()) {
			prlimit := runtimeOf(t, "prlimit")
			limit := func(to string) {
				output, err := exec.Command(prlimit, "--pid", strconv.Itoa(s.command.Process.Pid), "--fsize="+to+":").CombinedOutput()
				require.NoError(t, err, "%s", output)
			}
			return func() { limit("2097152") }, func() { limit("unlimited") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if name == "a full filesystem" {
				err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m")
				if errors.Is(err, syscall.EPERM) {
					t.Skip("this user must not mount a filesystem; the other case needs none")
				}
				require.NoError(t, err)
				t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
			}
			b := newBackend(t)
			s := start(t, webhook(b.address(), "spool_dir "+dir))
			fail, repair := disk(t, s, dir)
			client := s.client("HTTP/1.1")
			large := audio(5 << 20)
			for range 2 {
				fail()
				for range 3 {
					got := send(t, client, s.event(large))
					requireRejected(t, b, got, 503, "spool_failed")
					assert.Equal(t, "5", got.header.Get("Retry-After"))
				}
				assert.Equal(t, 200, send(t, client, s.event([]byte(transcript))).status)
				requireDelivered(t, b, []byte(transcript))
				repair()
				assert.Equal(t, 200, send(t, client, s.event(large)).status)
				requireDelivered(t, b, large)
			}
			s.awaitLog("webhook rejected: spool_failed")
		})
	}
}

func TestKillingTheServerLeavesNoFile(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, webhook(b.address(), "memory_buffer 64KiB"))
	body := audio(1 << 20)
	config := s.tlsConfig()
	config.NextProtos = []string{"http/1.1"}
	for range 5 {
		conn, err := tls.Dial("tcp", s.address, config)
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, s.head(body, fmt.Sprintf("Content-Length: %d", len(body))))
		require.NoError(t, err)
		_, err = conn.Write(body[:900_000])
		require.NoError(t, err)
	}
	s.eventually("five bodies on disk", func() bool { return s.spooled() > 5*800_000 })
	s.kill()
	left, err := os.ReadDir(s.spool)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// During a flood of forgeries the server stays within spool_limit. It answers genuine
// events with 200, or with 503 so that ElevenLabs retries. After the flood it recovers.
func TestFloodOfForgeriesStaysWithinSpoolLimit(t *testing.T) {
	const forged, limit = 16 << 20, 64 << 20
	b := newBackend(t)
	s := start(t, webhook(b.address(), "spool_limit 64MiB"))
	client := s.client("HTTP/1.1")
	event := append([]byte(transcript), make([]byte, 2<<10-len(transcript))...)
	assert.Equal(t, 200, send(t, client, s.event(event)).status)
	b.take()
	s.resetPeakMemory()
	idle := s.peakMemory()

	ctx, cut := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	defer func() {
		cut()
		flood.Wait()
	}()
	var rejected, overloaded, interrupted atomic.Int32
	for range 12 { // together three times spool_limit
		flood.Go(func() {
			client := s.client("HTTP/1.1")
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				request := s.signed(nil, "wsec_other", time.Now()).WithContext(ctx)
				request.Body, request.GetBody, request.ContentLength = io.NopCloser(io.LimitReader(zeros{}, forged)), nil, -1
				got, err := try(client, request)
				switch {
				case err != nil: // the test cut the request off, or the server answered and closed before the end of the body
					interrupted.Add(1)
				case got.status == 401:
					rejected.Add(1)
				case got.status == 503:
					overloaded.Add(1)
				default:
					assert.Fail(t, "a forgery got", got.status)
				}
			}
		})
	}
	genuine, within := 50, time.Second
	if raceDetector { // slows down client and server
		genuine, within = 10, 5*time.Second
	}
	var accepted, unavailable int
	var onDisk, held int64
	began := time.Now()
	for time.Since(began) < 5*time.Second || overloaded.Load() == 0 || rejected.Load() == 0 || unavailable+accepted < genuine {
		got := send(t, client, s.event(event))
		switch got.status {
		case 200:
			accepted++
			requireDelivered(t, b, event)
		case 503:
			unavailable++
			assert.Equal(t, "overloaded", got.header.Get("X-ElevenLabs-Rejection"))
			assert.Equal(t, "5", got.header.Get("Retry-After"))
		default:
			require.Fail(t, "a genuine event got", got.status)
		}
		onDisk, held = max(onDisk, s.spooled()), max(held, s.held())
		require.Less(t, time.Since(began), 15*patience, "the flood did not reach the limit")
	}
	large := audio(forged)
	requests := []*http.Request{s.event(event), s.event(large)} // signed before the end of the flood, which takes time
	over := time.Now()
	cut() // in the middle of the bodies
	for _, request := range requests {
		for got := send(t, client, request); got.status != 200; got = send(t, client, request) {
			require.Equal(t, 503, got.status)
			require.Less(t, time.Since(over), within, "the server still rejects genuine events")
			request.Body, _ = request.GetBody()
		}
	}
	recovered := time.Since(over)
	flood.Wait()
	arrived := b.take()
	require.Len(t, arrived, 2)
	for i, body := range [][]byte{event, large} {
		assert.Equal(t, digestOf(body), arrived[i].digest)
	}
	assert.Less(t, recovered, within)
	peak := s.peakMemory()
	t.Logf("forged: %d got 401, %d got 503, %d got no answer; genuine: %d got 200, %d got 503; at most %d MiB on disk, %d MiB of memory above idle; recovered in %s",
		rejected.Load(), overloaded.Load(), interrupted.Load(), accepted, unavailable, onDisk>>20, peak-idle, recovered)
	assert.NotZero(t, accepted)
	assert.LessOrEqual(t, onDisk, int64(limit))
	assert.LessOrEqual(t, held, int64(limit), "memory and disk together")
	assert.NotZero(t, held)
	if !raceDetector {
		assert.Less(t, peak-idle, limit>>20)
	}
	assert.Empty(t, b.take(), "a forgery reached the backend")
}
