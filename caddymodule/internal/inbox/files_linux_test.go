package inbox

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exhaust takes all files that this process can open, until release is called.
func exhaust(t *testing.T) (release func()) {
	t.Helper()
	var before syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	few := before
	few.Cur = 256
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few))
	var files []*os.File
	release = func() {
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before))
		for _, file := range files {
			assert.NoError(t, file.Close())
		}
		files = nil
	}
	t.Cleanup(release)
	for {
		file, err := os.Open(os.DevNull)
		if err != nil {
			require.ErrorIs(t, err, syscall.EMFILE)
			return release
		}
		files = append(files, file)
	}
}

func TestAFileThatCouldNotBeCheckedIsNotDamaged(t *testing.T) { // not parallel: no test can open a file meanwhile
	path := newFile(t)
	s := open(t, path)
	store(t, s, event("a"), content(1))
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)))
	release := exhaust(t)
	_, err := s.Accept(t.Context(), event("b"), content(1), noLimit)
	assert.ErrorContains(t, err, "could not be checked")
	assert.Error(t, s.Intact(), "nothing is promised")
	release()
	require.NoError(t, s.Check(t.Context()))
	_, err = s.renew(t.Context(), nil) // as a runner does every 10 seconds
	require.NoError(t, err)
	assert.NoError(t, s.Intact())
	_, err = s.Accept(t.Context(), event("c"), content(1), noLimit)
	assert.NoError(t, err)
}
