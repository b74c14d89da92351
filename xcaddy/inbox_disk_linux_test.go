package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The request that cuts a mounted ext4 off from its disk, and what it does with the
// journal (fs/ext4/ext4.h of Linux).
const (
	ext4Shutdown   = 0x8004587d // EXT4_IOC_SHUTDOWN = _IOR('X', 125, __u32)
	ext4NoLogFlush = 2
)

// disk is a file system in a file. What is not on it after a power cut was never there.
type disk struct {
	t            *testing.T
	image, place string
}

// newDisk makes and mounts a disk. It skips the test where that is impossible, as in most
// containers, also with TEST_NO_SKIP: no program that could be installed helps.
func newDisk(t *testing.T, mebibytes int64) *disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a disk")
	}
	for _, program := range []string{"mkfs.ext4", "mount", "losetup"} {
		runtimeOf(t, program)
	}
	d := &disk{t, filepath.Join(t.TempDir(), "image"), t.TempDir()}
	file, err := os.Create(d.image)
	require.NoError(t, err)
	require.NoError(t, file.Truncate(mebibytes<<20))
	require.NoError(t, file.Close())
	output, err := exec.Command("mkfs.ext4", "-q", "-F", d.image).CombinedOutput()
	require.NoError(t, err, "%s", output)
	if output, err := exec.Command("mount", "-o", "loop", d.image, d.place).CombinedOutput(); err != nil {
		t.Skipf("this machine cannot mount a loop device: %s", output)
	}
	t.Cleanup(func() { _ = syscall.Unmount(d.place, syscall.MNT_DETACH) })
	return d
}

// cutPower takes the disk away at once. Nothing more reaches it, not even what the kernel
// holds already.
func (d *disk) cutPower() {
	d.t.Helper()
	folder, err := os.Open(d.place)
	require.NoError(d.t, err)
	defer folder.Close()
	if err := unix.IoctlSetPointerInt(int(folder.Fd()), ext4Shutdown, ext4NoLogFlush); errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) {
		d.t.Skipf("this kernel does not cut a disk off: %v", err)
	} else {
		require.NoError(d.t, err)
	}
}

// remount mounts the disk again, as after a start of the machine.
func (d *disk) remount() {
	d.t.Helper()
	require.Eventually(d.t, func() bool { return syscall.Unmount(d.place, 0) == nil }, patience, 50*time.Millisecond, "unmounting")
	output, err := exec.Command("mount", "-o", "loop", d.image, d.place).CombinedOutput()
	require.NoError(d.t, err, "%s", output)
}

func TestInboxLosesNothingInAPowerCut(t *testing.T) {
	t.Parallel()
	large := 20 << 20
	rounds := 1
	if os.Getenv("TEST_ROUNDS") != "" {
		large, rounds = 99<<20, inboxRounds(t, 1)
	}
	for round := range rounds {
		d := newDisk(t, 1500)
		l := newInboxLedger(t)
		s := newServer(t)
		address, comeUp := l.away(taken) // so that all is still there after the power cut
		s.write(inboxSite(address, filepath.Join(d.place, "inbox.db"), ""))
		s.serve()
		stop := l.load(s, 6, 8<<10)
		body := l.event(large)
		got, err := l.send(s.client("HTTP/1.1"), s, body)
		require.NoError(t, err)
		require.Equal(t, "stored", got.header.Get(headerInbox))
		whole := l.acks()
		half := l.event(large) // is cut off in the middle
		client := s.client("HTTP/1.1")
		left := make(chan struct{})
		go func() {
			defer close(left)
			_, _ = l.send(client, s, half)
		}()
		s.eventually("more events to be stored", func() bool { return l.acks() > whole+20 })
		d.cutPower()
		stop()
		s.kill()
		<-left
		d.remount()
		comeUp()
		l.crashed()
		s.clearSpool()
		l.forgetAnswers() // those after the disk had gone
		s.launch()
		s.awaitServing()
		c := l.settled(s)
		t.Logf("round %d", round+1)
		assert.Greater(t, c.acknowledged, 20)
		assert.Len(t, l.of(body), 1)
		s.load(site("respond 404")) // closes the database
	}
}

// The same disk loses what SQLite does not force to it, so the test above can fail.
func TestPowerCutOfTheInboxTestsLosesWhatIsNotOnTheDisk(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		synchronous string
		loses       bool
	}{{"FULL", false}, {"OFF", true}} {
		t.Run(test.synchronous, func(t *testing.T) {
			t.Parallel()
			d := newDisk(t, 300)
			path := filepath.Join(d.place, "control.db")
			open := func() *sql.DB {
				db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous("+test.synchronous+")")
				require.NoError(t, err)
				db.SetMaxOpenConns(1)
				return db
			}
			db := open()
			_, err := db.Exec(`CREATE TABLE event (n INTEGER PRIMARY KEY, body BLOB)`)
			require.NoError(t, err)
			unix.Sync() // the table is there in any case
			const events = 200
			for n := range events {
				_, err := db.Exec(`INSERT INTO event VALUES ($1, $2)`, n, make([]byte, 8<<10))
				require.NoError(t, err)
			}
			d.cutPower()
			_ = db.Close()
			d.remount()
			db = open()
			defer db.Close()
			var count int
			err = db.QueryRow(`SELECT count(*) FROM event`).Scan(&count)
			t.Logf("synchronous=%s: %d of %d missing (%v)", test.synchronous, events-count, events, err)
			if test.loses {
				assert.Less(t, count, events)
			} else {
				require.NoError(t, err)
				assert.Equal(t, events, count)
			}
		})
	}
}

// forgetAnswers forgets the answers so far, except which events were acknowledged.
func (l *inboxLedger) forgetAnswers() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.answers)
}

// When the disk is full, events are forwarded at once, those in the inbox are delivered
// all the same, and events are stored again when there is space.
func TestInboxOnAFullDisk(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=40m"); err != nil {
		require.ErrorIs(t, err, fs.ErrPermission)
		t.Skip("this user must not mount a filesystem")
	}
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(folder, syscall.MNT_DETACH)) })
	l := newInboxLedger(t)
	ctx, open := context.WithCancel(t.Context())
	s := start(t, inboxSite(l.backend(func(_ http.ResponseWriter, r *http.Request, _ int) int {
		if r.Header.Get("X-ElevenLabs-Attempt") == "1" && ctx.Err() == nil {
			return http.StatusServiceUnavailable // until the disk is full
		}
		return http.StatusOK
	}), filepath.Join(folder, "inbox.db"), "retry 5s"))
	client := s.client("HTTP/1.1")
	how := map[string]int{}
	store := func(size int) string {
		got, err := l.send(client, s, l.event(size))
		require.NoError(t, err)
		how[got.header.Get(headerInbox)]++
		return got.header.Get(headerInbox)
	}
	filler := filepath.Join(folder, "filler")
	for range 20 {
		store(100 << 10)
	}
	require.Equal(t, map[string]int{"stored": 20}, how)
	file, err := os.Create(filler)
	require.NoError(t, err)
	for err == nil { // somebody else fills the disk
		_, err = file.Write(bytes.Repeat([]byte("x"), 64<<10))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, file.Close())
	open()
	s.eventually("an event to bypass the inbox", func() bool { return store(300<<10) == "bypassed" })
	for range 5 {
		store(100 << 10)
	}
	s.eventually("all to be delivered", func() bool { return l.counts().lost == 0 && s.inboxCount("waiting")+s.inboxCount("delivering") == 0 })
	full := fmt.Sprint(how)
	assert.Positive(t, s.metricSum("caddy_elevenlabs_inbox_bypassed_total", `reason="disk"`))
	require.NoError(t, os.Remove(filler))
	s.eventually("events to be stored again, without a restart", func() bool { return store(100<<10) == "stored" })
	t.Logf("while it was full: %s; in all: %v", full, how)
	l.settled(s)
	s.awaitLog("the inbox could not store an event, which is forwarded at once")
	s.load(site("respond 404"))
}
