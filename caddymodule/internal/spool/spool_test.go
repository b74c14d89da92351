package spool

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const mib = 1 << 20

func ignore([]byte) {}

// pattern returns n bytes in which no two blocks are alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func testLimits(t testing.TB) Limits {
	return Limits{Size: 8 * mib, Memory: mib, TotalMemory: 64 * mib, Total: 64 * mib, Bodies: 1000, Dir: t.TempDir()}
}

func requireNothingLeft(t testing.TB, dir string) {
	t.Helper()
	require.Zero(t, Held(), "bytes still reserved")
	require.Zero(t, total.Load(), "bytes still reserved")
	require.Zero(t, bodies.Load(), "bodies still counted")
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Empty(t, names)
}

// oddPieces has only the method Read, and returns at most 4093 bytes a call.
type oddPieces struct{ r io.Reader }

func (o oddPieces) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 4093)]) }

func TestReadersReturnTheBodyThatWasRead(t *testing.T) {
	for _, size := range []int{
		0, 1, smallBlock - 1, smallBlock, smallBlock + 1, 2*smallBlock + 1, largeBlock - 1, largeBlock, largeBlock + 1, 3*largeBlock + 1,
		mib - 1, mib, mib + 1, mib + largeBlock, 3*mib + 7, 8 * mib,
	} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			limits := testLimits(t)
			sent := pattern(size)
			var observed bytes.Buffer
			b, err := Read(oddPieces{bytes.NewReader(sent)}, limits, func(p []byte) { observed.Write(p) })
			require.NoError(t, err)
			assert.Equal(t, int64(size), b.Size())
			assert.Equal(t, size > mib, b.file != nil)
			assert.True(t, bytes.Equal(sent, observed.Bytes()), "observe got another body")
			for range 2 {
				got, err := io.ReadAll(b.NewReader())
				require.NoError(t, err)
				assert.True(t, bytes.Equal(sent, got), "a reader returns another body")
			}
			b.Close()
			b.Close()
			requireNothingLeft(t, limits.Dir)
		})
	}
}

func TestReaderFulfilsTheContractOfIoReader(t *testing.T) {
	for _, memory := range []int64{mib, 1} {
		for _, size := range []int{0, 1, smallBlock + 1} {
			limits := testLimits(t)
			limits.Memory = memory
			b, err := Read(bytes.NewReader(pattern(size)), limits, ignore)
			require.NoError(t, err)
			require.NoError(t, iotest.TestReader(b.NewReader(), pattern(size)))
			b.Close()
		}
	}
}

func TestLargeBodyIsHeldOnDiskOnly(t *testing.T) {
	limits := testLimits(t)
	b, err := Read(bytes.NewReader(pattern(4*mib)), limits, func([]byte) {
		assert.LessOrEqual(t, Held().Memory+Held().Disk, int64(4*mib+mib+2*largeBlock))
	})
	require.NoError(t, err)
	assert.Empty(t, b.blocks)
	assert.Equal(t, Usage{Disk: 4 * mib}, Held(), "only the file must count")
	b.Close()
	requireNothingLeft(t, limits.Dir)
}

func TestReadStopsAtTheByteThatExceedsTheLimit(t *testing.T) {
	for _, size := range []int64{0, 1, smallBlock, 100_000, mib, mib + 1} {
		limits := testLimits(t)
		limits.Size = size

		b, err := Read(bytes.NewReader(pattern(int(size))), limits, ignore)
		require.NoError(t, err)
		b.Close()

		endless := &countingReader{}
		_, err = Read(endless, limits, ignore)
		require.ErrorIs(t, err, ErrTooLarge)
		assert.LessOrEqual(t, endless.n, size+1, "Read must stop at the byte that exceeds the limit")
		requireNothingLeft(t, limits.Dir)
	}
}

type countingReader struct{ n int64 }

func (c *countingReader) Read(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

func TestSizeLimitMayBeTheLargestInt64(t *testing.T) {
	limits := testLimits(t)
	limits.Size = math.MaxInt64
	b, err := Read(bytes.NewReader([]byte("x")), limits, ignore)
	require.NoError(t, err)
	b.Close()
}

func TestTotalLimitsAllBodiesTogether(t *testing.T) {
	limits := testLimits(t)
	limits.Total = 3 * mib

	first, err := Read(bytes.NewReader(pattern(2*mib)), limits, ignore)
	require.NoError(t, err)
	_, err = Read(bytes.NewReader(pattern(2*mib)), limits, ignore)
	require.ErrorIs(t, err, ErrFull, "on disk")
	assert.Equal(t, Usage{Disk: 2 * mib}, Held(), "a rejected body must hold nothing")

	limits.Total = Held().Disk + smallBlock - 1
	_, err = Read(bytes.NewReader([]byte("x")), limits, ignore)
	require.ErrorIs(t, err, ErrFull, "in memory")

	first.Close()
	again, err := Read(bytes.NewReader([]byte("x")), limits, ignore)
	require.NoError(t, err, "Close must make room at once")
	again.Close()
	requireNothingLeft(t, limits.Dir)
}

func TestBodiesLimitsTheNumberOfBodies(t *testing.T) {
	limits := testLimits(t)
	limits.Bodies = 1
	first, err := Read(bytes.NewReader(nil), limits, ignore)
	require.NoError(t, err)
	for range 2 {
		_, err = Read(bytes.NewReader(nil), limits, ignore)
		require.ErrorIs(t, err, ErrTooMany)
	}
	first.Close()
	first.Close()
	second, err := Read(bytes.NewReader(nil), limits, ignore)
	require.NoError(t, err)
	second.Close()
	requireNothingLeft(t, limits.Dir)
}

func TestReadReturnsTheReadersErrorAndLeavesNothing(t *testing.T) {
	reset := errors.New("connection reset")
	for _, size := range []int{0, 10, 2 * mib} {
		limits := testLimits(t)
		_, err := Read(io.MultiReader(bytes.NewReader(pattern(size)), iotest.ErrReader(reset)), limits, ignore)
		require.Equal(t, reset, err)
		requireNothingLeft(t, limits.Dir)
	}
}

func TestPanicLeavesNothing(t *testing.T) {
	limits := testLimits(t)
	seen := 0
	require.Panics(t, func() {
		_, _ = Read(bytes.NewReader(pattern(4*mib)), limits, func(p []byte) {
			if seen += len(p); seen > 2*mib {
				panic("observer")
			}
		})
	})
	requireNothingLeft(t, limits.Dir)
}

func TestStorageFailureIsErrStorage(t *testing.T) {
	limits := testLimits(t)
	limits.Dir = filepath.Join(limits.Dir, "missing")
	_, err := Read(bytes.NewReader(pattern(2*mib)), limits, ignore)
	require.ErrorIs(t, err, ErrStorage)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Zero(t, Held())
	require.ErrorIs(t, CheckDir(limits.Dir), os.ErrNotExist)

	dir := t.TempDir()
	require.NoError(t, CheckDir(dir))
	requireNothingLeft(t, dir)

	// A file opened for reading fails to write, like one on a full disk.
	readOnly, err := os.Open(os.DevNull)
	require.NoError(t, err)
	b := &Body{limits: testLimits(t), file: readOnly}
	_, err = b.space()
	require.NoError(t, err)
	require.NoError(t, b.keep(1))
	require.ErrorIs(t, b.flush(), ErrStorage)
	b.Close()
	require.Zero(t, Held())
}

func TestTemporaryFileIsPrivateAndHasNoName(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps the name of an open file")
	}
	limits := testLimits(t)
	b, err := Read(bytes.NewReader(pattern(2*mib)), limits, ignore)
	require.NoError(t, err)
	defer b.Close()
	info, err := b.file.Stat()
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	names, err := filepath.Glob(filepath.Join(limits.Dir, "*"))
	require.NoError(t, err)
	assert.Empty(t, names)
}

func TestCloseRemovesAFileThatKeptItsName(t *testing.T) {
	dir := t.TempDir()
	file, err := os.CreateTemp(dir, "")
	require.NoError(t, err)
	b := &Body{file: file, linked: true}
	b.Close()
	requireNothingLeft(t, dir)
}

func TestReadersFailAfterClose(t *testing.T) {
	for _, size := range []int{10, 2 * mib} {
		b, err := Read(bytes.NewReader(pattern(size)), testLimits(t), ignore)
		require.NoError(t, err)

		closed := b.NewReader()
		require.NoError(t, closed.Close())
		_, err = closed.Read(make([]byte, 1))
		require.ErrorIs(t, err, errClosed)

		other := b.NewReader()
		_, err = other.Read(make([]byte, 1))
		require.NoError(t, err, "readers are independent")
		b.Close()
		_, err = other.Read(make([]byte, 1))
		require.ErrorIs(t, err, errClosed)
	}
}

// A transport can still read while the request ends. It must get the body's own bytes
// or an error, never the bytes of a later request that got the same memory.
func TestReaderNeverReturnsBytesOfAnotherBody(t *testing.T) {
	limits := testLimits(t)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			sent := bytes.Repeat([]byte{byte('a' + worker)}, 100_000)
			for range 200 {
				b, err := Read(bytes.NewReader(sent), limits, ignore)
				if !assert.NoError(t, err) {
					return
				}
				for range 3 {
					r := b.NewReader()
					wg.Go(func() {
						got, _ := io.ReadAll(r)
						assert.True(t, bytes.HasPrefix(sent, got))
					})
				}
				runtime.Gosched()
				b.Close()
			}
		})
	}
	wg.Wait()
	requireNothingLeft(t, limits.Dir)
}

func TestBodyHoldsAtMostTwiceWhatWasSent(t *testing.T) {
	sent := 0
	r := readerFunc(func(p []byte) (int, error) {
		// Read has asked for more, so all blocks for what was sent are there.
		assert.LessOrEqual(t, Held().Memory, max(smallBlock, 2*int64(sent)), "after %d bytes", sent)
		if sent == 256<<10 {
			return 0, io.EOF
		}
		sent++
		return copy(p, "x"), nil
	})
	b, err := Read(r, testLimits(t), ignore)
	require.NoError(t, err)
	b.Close()
}

type readerFunc func([]byte) (int, error)

func (r readerFunc) Read(p []byte) (int, error) { return r(p) }

func TestTotalMemorySpillsEarly(t *testing.T) {
	limits := testLimits(t)
	limits.TotalMemory = mib
	first, err := Read(bytes.NewReader(pattern(mib/2)), limits, ignore)
	require.NoError(t, err)
	require.Nil(t, first.file)
	held := Held()

	for _, size := range []int{mib / 2, mib/2 + 1, mib} { // none is larger than Limits.Memory
		sent := pattern(size)
		second, err := Read(oddPieces{bytes.NewReader(sent)}, limits, func([]byte) {
			assert.LessOrEqual(t, Held().Memory, int64(mib))
		})
		require.NoError(t, err)
		assert.Equal(t, Usage{held.Memory, int64(size)}, Held(), "the second body must be on disk")
		got, err := io.ReadAll(second.NewReader())
		require.NoError(t, err)
		assert.True(t, bytes.Equal(sent, got))
		second.Close()
	}

	// Without any memory left, a body gets the smallest block, and never a larger one.
	limits.TotalMemory = 0
	for _, size := range []int{smallBlock - 1, smallBlock, 2 * mib} {
		sent := pattern(size)
		third, err := Read(bytes.NewReader(sent), limits, func([]byte) {
			assert.LessOrEqual(t, Held().Memory, held.Memory+smallBlock)
		})
		require.NoError(t, err)
		assert.Equal(t, size >= smallBlock, third.file != nil)
		got, err := io.ReadAll(third.NewReader())
		require.NoError(t, err)
		assert.True(t, bytes.Equal(sent, got))
		third.Close()
	}

	first.Close()
	requireNothingLeft(t, limits.Dir)
}

func TestMemoryIsReturnedAfterAFlood(t *testing.T) {
	inUse := func() int64 {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapSys - stats.HeapReleased) //nolint:gosec // far from the limit
	}
	synctest.Test(t, func(t *testing.T) {
		const size = 48 * mib
		limits := testLimits(t)
		limits.Size, limits.Memory = size, size
		trim()
		idle := inUse()
		for range 2 { // trim must be scheduled again
			b, err := Read(io.LimitReader(&countingReader{}, size), limits, ignore)
			require.NoError(t, err)
			time.Sleep(3 * trimInterval)
			assert.GreaterOrEqual(t, inUse(), idle+size/2)
			b.Close()
			time.Sleep(2 * trimInterval)
			assert.Less(t, inUse(), idle+size/8)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{2 << 10, 128 << 10, 8 << 20} {
		b.Run(strconv.Itoa(size>>10)+"KiB", func(b *testing.B) {
			limits := testLimits(b)
			limits.Size = 64 * mib
			payload := pattern(size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				body, err := Read(bytes.NewReader(payload), limits, ignore)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, body.NewReader()); err != nil {
					b.Fatal(err)
				}
				body.Close()
			}
		})
	}
}
