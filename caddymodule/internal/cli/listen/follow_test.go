package listen

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/clitest"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/source"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
)

// following is a follower that runs.
type following struct {
	t       *testing.T
	handled chan int64
	stderr  *strings.Builder
	end     func() error
	begun   chan struct{}
}

// follow runs a follower of a server until the end of the test.
func follow(t *testing.T, admin func(context.Context, cmdutil.AdminRequest) (*http.Response, error), query url.Values) *following {
	t.Helper()
	env := cmdutil.Env{Now: func() time.Time { return noon }, Admin: admin}
	f := &following{t: t, handled: make(chan int64), stderr: new(strings.Builder), begun: make(chan struct{})}
	cmd := &cobra.Command{}
	cmd.SetErr(f.stderr)
	ctx, cancel := context.WithCancel(t.Context())
	cmd.SetContext(ctx)
	from := source.OfEndpoint(cmdutil.EndpointFlags(cmd, env), "")
	follower := newFollower(from, query, func(_ *cobra.Command, e stored.Event, _ bool) error {
		select {
		case f.handled <- e.Seq:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	follower.pause, follower.longest = time.Millisecond, time.Millisecond
	follower.announce = func() error { close(f.begun); return nil }
	ended := make(chan error, 1)
	go func() { ended <- follower.run(cmd) }()
	f.end = func() error { cancel(); return <-ended }
	t.Cleanup(cancel)
	return f
}

// next returns the numbers of the next events.
func (f *following) next(count int) (seqs []int64) {
	f.t.Helper()
	for range count {
		select {
		case seq := <-f.handled:
			seqs = append(seqs, seq)
		case <-time.After(10 * time.Second):
			require.FailNow(f.t, "no event comes", "%v came", seqs)
		}
	}
	return seqs
}

func numbers(from, to int64) (all []int64) {
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

func TestEventsComeOnceAndInOrderThoughEveryStreamBreaksOff(t *testing.T) {
	for _, cut := range []int{1, 2, 7} {
		s := newServer(t, "/elevenlabs/inbox")
		s.store(1, "before", nil)
		s.cut = cut
		f := follow(t, clitest.Admin(t, s), url.Values{})
		<-f.begun
		for n := range int64(20) {
			s.store(n+2, fmt.Sprint("event ", n), nil)
			if n%5 == 4 {
				s.settle(n - 2)
			}
		}
		assert.Equal(t, numbers(2, 21), f.next(20), "streams of %d events", cut)
		s.mu.Lock()
		assert.Greater(t, len(s.last), 20/cut)
		s.mu.Unlock()
		require.NoError(t, f.end(), "an interrupt is how it ends")
	}
}

func TestWhatComesWhileTheConnectionIsLostBeforeTheFirstEventIsNotMissed(t *testing.T) {
	for name, before := range map[string]int64{"an inbox with events": 3, "an empty inbox": 0} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, "/elevenlabs/inbox")
			for n := range before {
				s.store(n+1, fmt.Sprint("before ", n), nil)
			}
			admin, up := clitest.Admin(t, s), make(chan bool, 1)
			streams, leave := 0, func() {}
			f := follow(t, func(ctx context.Context, ask cmdutil.AdminRequest) (*http.Response, error) {
				if ask.Header.Get("Accept") == "text/event-stream" {
					if streams++; streams == 2 {
						<-up
					}
					ctx, leave = context.WithCancel(ctx)
				}
				return admin(ctx, ask)
			}, url.Values{})
			<-f.begun
			leave()
			s.store(before+1, "meanwhile", nil)
			up <- true
			assert.Equal(t, []int64{before + 1}, f.next(1))
			require.NoError(t, f.end())
		})
	}
}

func TestSinceBringsTheStoredEventsFirst(t *testing.T) {
	s := newServer(t, "/elevenlabs/inbox")
	for n := range int64(3) {
		s.store(n+1, fmt.Sprint(n), nil)
	}
	f := follow(t, clitest.Admin(t, s), url.Values{"since": {noon.Add(2 * time.Second).Format(time.RFC3339)}})
	assert.Equal(t, []int64{2, 3}, f.next(2))
	s.store(4, "new", nil)
	assert.Equal(t, []int64{4}, f.next(1))
	require.NoError(t, f.end())
}

// The numbers of another database mean something else.
func TestAnotherDatabaseIsNoticed(t *testing.T) {
	for _, test := range []struct {
		name     string
		change   func(*server)
		want     int64
		replaced bool
	}{
		{"a new one, with the same numbers", func(s *server) {
			s.replace()
			s.store(2, "known", nil)
			s.store(3, "other", nil)
		}, 3, true},
		{"a new one that is empty", func(s *server) { s.replace(); s.cut = 0 }, 1, true},
		{"an old copy", func(s *server) {
			s.replace()
			s.store(1, "before", nil)
			s.store(2, "other", nil)
		}, 2, true},
		{"the same, without the newest", func(s *server) { s.events = s.events[:len(s.events)-1]; s.notify() }, 4, false},
		{"the same, and the newest deleted after others came", func(s *server) {
			s.events = s.events[:len(s.events)-1]
			s.store(4, "later", nil)
		}, 4, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t, "/elevenlabs/inbox")
			s.store(1, "before", nil)
			admin := clitest.Admin(t, s)
			asked, again, leave := make(chan bool), make(chan bool), func() {}
			f := follow(t, func(ctx context.Context, ask cmdutil.AdminRequest) (*http.Response, error) {
				if ask.URI == "/elevenlabs/inbox/events?limit=1" {
					asked <- true
					<-again
				}
				if ask.Header.Get("Accept") == "text/event-stream" {
					ctx, leave = context.WithCancel(ctx)
				}
				return admin(ctx, ask)
			}, url.Values{})
			<-f.begun
			s.store(2, "known", nil)
			s.store(3, "last", nil)
			assert.Equal(t, []int64{2, 3}, f.next(2))
			leave()
			<-asked
			test.change(s)
			again <- true
			if test.want == 1 || test.want == 4 && len(s.events) == 2 {
				s.store(test.want, "new", nil)
			}
			assert.Equal(t, []int64{test.want}, f.next(1))
			require.NoError(t, f.end())
			assert.Equal(t, test.replaced, strings.Contains(f.stderr.String(), "the inbox was replaced or emptied: listen goes on with what it has since 2026-11-29T11:59:03Z\n"), f.stderr)
		})
	}
}

func TestItWaitsForAServerThatIsGoneAndNotForOneThatDoesNotLetIn(t *testing.T) {
	refused := &cmdutil.AdminError{Status: 502, Message: "it answered 502"}
	for _, test := range []struct {
		name    string
		answers []error // of the streams after the first
		err     error
		says    string
	}{
		{"gone and back", []error{refused, refused, nil}, nil, "the server is gone, and listen waits for it: it answered 502\nthe server is back\n"},
		{"its inbox is gone for a while", []error{&cmdutil.AdminError{Status: 404, Message: "it answered 404"}, nil}, nil, "the server is gone, and listen waits for it: it answered 404\nthe server is back\n"},
		{"another password", []error{&cmdutil.AdminError{Status: 401, Message: "it answered 401"}}, &cmdutil.AdminError{}, ""},
		{"another origin", []error{&cmdutil.AdminError{Status: 403, Message: "it answered 403"}}, &cmdutil.AdminError{}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			streams := -1
			admin := func(_ context.Context, ask cmdutil.AdminRequest) (*http.Response, error) {
				answer := func(text string) (*http.Response, error) {
					return &http.Response{Body: io.NopCloser(strings.NewReader(text))}, nil
				}
				if ask.Header.Get("Accept") == "application/json" {
					return answer("[]")
				}
				if streams++; streams == 0 {
					return answer("id: 0\n\n")
				}
				if streams > len(test.answers) {
					interrupt()
					return nil, context.Canceled
				}
				if err := test.answers[streams-1]; err != nil {
					return nil, err
				}
				return answer("id: 0\n\n")
			}
			cmd, stderr := &cobra.Command{}, new(strings.Builder)
			cmd.SetErr(stderr)
			cmd.SetContext(ctx)
			from := source.OfEndpoint(cmdutil.EndpointFlags(cmd, cmdutil.Env{Admin: admin}), "")
			f := newFollower(from, url.Values{}, nil)
			f.pause, f.longest = time.Millisecond, time.Millisecond
			err := f.run(cmd)
			if test.err == nil {
				assert.NoError(t, err)
			} else {
				assert.ErrorAs(t, err, new(*cmdutil.AdminError))
			}
			assert.Equal(t, test.says, stderr.String())
		})
	}
}
