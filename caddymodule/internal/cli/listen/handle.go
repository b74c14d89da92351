package listen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/delivery"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/source"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/stored"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// handler hands on one event after another.
type handler struct {
	env         cmdutil.Env
	source      *source.Source
	application *application // nil without --forward-to
	folder      folder       // empty without --save

	told map[string]bool // what was said of headers that are withheld
}

// handle hands an event on, and prints what became of it. The error is errLost if the
// server did not send the event; at the last try, that is printed too.
func (h *handler) handle(cmd *cobra.Command, e stored.Event, lastTry bool) error {
	r := result{Event: e, Result: received}
	err := h.handOn(cmd, &r)
	if cmd.Context().Err() != nil {
		return cmd.Context().Err()
	}
	if err != nil {
		if errors.Is(err, errLost) && !lastTry {
			return err
		}
		r.Result, r.Problem = failed, cmdutil.Brief(err.Error(), cmdutil.Longest)
	}
	return h.print(cmd, r)
}

func (h *handler) handOn(cmd *cobra.Command, r *result) error {
	if h.application == nil && h.folder == "" {
		return nil
	}
	if !r.HasBody {
		return errGone
	}
	var header http.Header
	if h.application != nil {
		event, err := h.source.Event(cmd, r.Seq)
		if err != nil {
			return unsent(err)
		}
		var withheld []string
		header, withheld = event.CopyHeader(1)
		h.tell(cmd, withheld)
	}
	fromServer, err := h.source.Body(cmd, r.Seq)
	if err != nil {
		return unsent(err)
	}
	defer fromServer.Close()
	body := &fragile{Reader: fromServer}
	if h.folder == "" {
		h.application.post(cmd.Context(), header, body, r)
		if r.Result == taken {
			return nil
		}
		return body.lost()
	}
	file, err := h.folder.save(r.Event, body)
	if err != nil {
		return cmp.Or(body.lost(), err)
	}
	defer file.discard()
	r.Result, r.File = saved, file.name
	if h.application != nil {
		h.application.post(cmd.Context(), header, file, r)
	}
	return nil
}

var errGone = errors.New("its body is deleted")

// unsent is the error of an event that the server did not send.
func unsent(err error) error {
	if answer, ok := errors.AsType[*cmdutil.AdminError](err); ok {
		switch answer.Status {
		case http.StatusNotFound:
			return errors.New("it was deleted meanwhile")
		case http.StatusGone:
			return errGone
		}
	}
	return lost(err)
}

// tell says which headers are missing. The signature always is.
func (h *handler) tell(cmd *cobra.Command, withheld []string) {
	var names []string
	for _, name := range withheld {
		if name != http.CanonicalHeaderKey(signature.HeaderName) {
			names = append(names, name)
		}
	}
	if text := strings.Join(names, ", "); text != "" && !h.told[text] {
		h.told[text] = true
		note(cmd, "without these headers, whose values the server does not show: %s", text)
	}
}

// fragile is a body that may break off.
type fragile struct {
	io.Reader
	failure atomic.Pointer[error] // the transport reads in a goroutine of its own
}

// Read keeps the error.
func (f *fragile) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && err != io.EOF {
		f.failure.CompareAndSwap(nil, &err)
	}
	return n, err
}

// lost returns why the body broke off, or nil.
func (f *fragile) lost() error {
	if err := f.failure.Load(); err != nil {
		return lost(*err)
	}
	return nil
}

// application is the local application.
type application struct {
	url  *url.URL
	http *http.Client
	now  func() time.Time
}

// post sends a copy of an event, and notes the answer.
func (a *application) post(ctx context.Context, header http.Header, body io.Reader, r *result) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url.String(), io.NopCloser(body))
	if err != nil {
		r.fail(err.Error())
		return
	}
	request.Header, request.ContentLength = header, r.Size
	if r.Size == 0 {
		request.Body = http.NoBody
	}
	if _, set := header["User-Agent"]; !set {
		header["User-Agent"] = []string{""} // otherwise Go sends its own
	}
	started := a.now()
	response, err := a.http.Do(request)
	if err == nil {
		defer response.Body.Close()
		r.Status = response.StatusCode
		lines, _ := delivery.ReadAnswer(response)
		if r.Status/100 == 2 {
			r.Result = taken
		} else {
			r.Answer = lines
			r.fail(unwanted(response))
		}
		_, err = io.Copy(io.Discard, response.Body)
	}
	r.Seconds = a.now().Sub(started).Seconds()
	if err != nil {
		r.fail(delivery.ExplainError(ctx, err))
	}
}

// unwanted says what is wrong with an answer that is not 2xx.
func unwanted(response *http.Response) string {
	if to := response.Header.Get("Location"); response.StatusCode/100 == 3 && to != "" {
		return fmt.Sprintf("redirects to %q, which neither Caddy nor ElevenLabs follows", cmdutil.Cut(to, cmdutil.Longest))
	}
	return "expected 2xx"
}

// folder is where bodies are saved.
type folder string

// newFolder makes the folder if it is not there, and looks whether files can be made in it.
func newFolder(name string) (folder, error) {
	err := os.MkdirAll(name, 0o700)
	var file *os.File
	if err == nil {
		file, err = os.CreateTemp(name, temporary)
	}
	if err == nil {
		err = errors.Join(file.Close(), os.Remove(file.Name()))
	}
	if err != nil {
		return "", fmt.Errorf("--save: %w", err)
	}
	return folder(name), nil
}
