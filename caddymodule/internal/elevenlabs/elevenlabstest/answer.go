package elevenlabstest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// answer is an answer of the server.
type answer struct {
	status int
	body   any
}

// raw is a body that is sent as it is.
type raw struct {
	mediaType string
	bytes     []byte
}

func success(body any) answer { return answer{http.StatusOK, body} }

func rejection(status int, code, message string) answer {
	return answer{status, map[string]any{"detail": map[string]any{"status": code, "message": message}}}
}

func notFound(what string) answer {
	return rejection(http.StatusNotFound, what+"_not_found", "The "+what+" was not found")
}

// Fault adds handlers, each of which answers one of the next requests instead of the
// server.
func (s *Server) Fault(faults ...http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Answer returns a fault that answers with a status and headers, which are pairs of
// name and value.
func Answer(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"detail":"try again later"}`)
	}
}

// Drop is a fault that breaks the connection off without an answer.
func Drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// Lose is a fault that executes the request, and then breaks the connection off.
func (s *Server) Lose(_ http.ResponseWriter, r *http.Request) {
	s.routes.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// Delay returns a fault that executes the request, and answers it late.
func (s *Server) Delay(by time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.routes.ServeHTTP(w, r)
		select {
		case <-time.After(by):
		case <-r.Context().Done():
		}
	}
}

// problem is an error in a request's body or query.
type problem struct {
	at      []any // the keys and indices that lead to the value
	message string
}

func invalid(problems []problem) answer {
	detail := make([]any, 0, len(problems))
	for _, p := range problems {
		kind := "value_error"
		if p.message == required {
			kind = "missing"
		} else if strings.HasPrefix(p.message, "Extra") {
			kind = "extra_forbidden"
		}
		detail = append(detail, map[string]any{"type": kind, "loc": p.at, "msg": p.message})
	}
	return answer{http.StatusUnprocessableEntity, map[string]any{"detail": detail}}
}
