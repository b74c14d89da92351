package inbox

import (
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPagesOfALogAreCountedAsSQLiteReadsThemAfterACrash(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	s := open(t, path)
	store(t, s, event("a"), content(8<<10))
	store(t, s, event("b"), content(8<<10))
	other := stranger(t, path)
	log := path + "-wal"
	count := func() int {
		count, err := countLogged(log)
		require.NoError(t, err)
		return count
	}
	whole, _ := checkpoint(t, other, "NOOP")
	require.Positive(t, whole)
	assert.Equal(t, whole, count())

	store(t, s, event("c"), content(8<<10))
	more, _ := checkpoint(t, other, "NOOP")
	require.Greater(t, more, whole+1)
	assert.Equal(t, more, count())
	written, err := os.ReadFile(log)
	require.NoError(t, err)
	damage := func(offset int) {
		damaged := slices.Clone(written)
		damaged[offset] ^= 1
		require.NoError(t, os.WriteFile(log, damaged, 0o600))
	}
	log = path + "-copy"
	for _, test := range []struct {
		name   string
		offset int
		want   int
	}{
		{"the last byte", len(written) - 1, whole},
		{"a byte of the first page after the second event", logHeader + whole*(pageHeader+pageSize) + pageHeader, whole},
		{"the salt of that page", logHeader + whole*(pageHeader+pageSize) + 8, whole},
		{"the first page", logHeader + pageHeader, 0},
		{"the header", 13, 0},
	} {
		damage(test.offset)
		assert.Equal(t, test.want, count(), test.name)
	}
	for size, want := range map[int]int{0: 0, 10: 0, len(written) - 1: whole} {
		require.NoError(t, os.WriteFile(log, written[:size], 0o600))
		assert.Equal(t, want, count(), "%d bytes", size)
	}

	checkpoint(t, other, "TRUNCATE")
	store(t, s, event("d"), content(8<<10))
	log = path + "-wal"
	pages, _ := checkpoint(t, other, "NOOP")
	assert.Equal(t, pages, count(), "a log that began anew")
}
