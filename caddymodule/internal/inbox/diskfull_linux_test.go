package inbox

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// smallDisk returns a folder on a disk of so many MiB.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("not root: a small disk cannot be mounted")
	}
	folder := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%dm", size)))
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(folder, 0)) })
	return folder
}

// tryReserve lets the next accept look for space, without the pause before that.
func tryReserve(s *Store) { s.dialect.(*sqliteDB).lastReserve.Store(0) }

func TestAFullDiskIsBypassedAndEmptiesItself(t *testing.T) {
	t.Parallel()
	path := filepath.Join(smallDisk(t, 28), "inbox.db")
	s := open(t, path)
	accept := func(i int) error {
		_, err := s.Accept(t.Context(), event(fmt.Sprint("event", i)), content(chunkSize/2), noLimit)
		return err
	}
	stored := 0
	var err error
	for err = accept(0); err == nil; err = accept(stored) {
		stored++
	}
	require.ErrorIs(t, err, ErrDiskFull)
	assert.Greater(t, stored, 5)
	assert.NoFileExists(t, path+".reserve")
	require.ErrorIs(t, accept(stored), ErrDiskFull)
	tryReserve(s)
	require.ErrorIs(t, accept(stored), ErrDiskFull, "there is no space for the reserve")
	assert.NoFileExists(t, path+".reserve", "a part of it")

	d := newBackend(t)
	runner := s.Start(options(), d)
	d.awaitSettled(stored, Delivered)
	runner.Stop(time.Minute)
	assert.Len(t, d.got, stored)
	assert.Empty(t, d.troubles)
	require.ErrorIs(t, accept(stored), ErrDiskFull)

	sweep(t, s, Retention{Remember: time.Hour, Limit: noLimit})
	tryReserve(s)
	require.NoError(t, accept(stored), "there is space again")
	assert.FileExists(t, path+".reserve")
	assert.Equal(t, Waiting, find(t, s, fmt.Sprint("event", stored)).State)
}

func TestADiskThatOthersFillIsUsedAgainWhenTheyLeave(t *testing.T) {
	t.Parallel()
	folder := smallDisk(t, 30)
	path := filepath.Join(folder, "inbox.db")
	s := open(t, path)
	store(t, s, event("before"), content(chunkSize))
	other := filepath.Join(folder, "other")
	require.ErrorIs(t, os.WriteFile(other, make([]byte, 30<<20), 0o600), syscall.ENOSPC)
	_, err := s.Accept(t.Context(), event("a"), content(5*chunkSize), noLimit)
	require.ErrorIs(t, err, ErrDiskFull)
	s.work.Wait()
	assert.Equal(t, Delivered, settle(t, s, claimOne(t, s), taken, patience))

	require.NoError(t, os.Remove(other))
	_, err = s.Accept(t.Context(), event("a"), content(5*chunkSize), noLimit)
	require.ErrorIs(t, err, ErrDiskFull, "it is not tried each time")
	tryReserve(s)
	store(t, s, event("a"), content(5*chunkSize))
	assert.EqualValues(t, 6, rows(t, s, "chunk"))
}

func TestAStoreThatIsOpenedOnAFullDiskEmptiesItself(t *testing.T) {
	t.Parallel()
	folder := smallDisk(t, 30)
	path := filepath.Join(folder, "inbox.db")
	before, err := Open(t.Context(), path)
	require.NoError(t, err)
	store(t, before, event("before"), content(chunkSize))
	require.NoError(t, before.Close())
	other := filepath.Join(folder, "other")
	require.ErrorIs(t, os.WriteFile(other, make([]byte, 30<<20), 0o600), syscall.ENOSPC)

	s := open(t, path)
	_, err = s.Accept(t.Context(), event("a"), content(chunkSize), noLimit)
	require.ErrorIs(t, err, ErrDiskFull)
	assert.Equal(t, Delivered, settle(t, s, claimOne(t, s), taken, patience))
}
