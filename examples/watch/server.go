package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed page
var page embed.FS

// server serves the page and its data.
type server struct {
	folders folders
	mu      sync.Mutex        // guards indices
	indices map[string]*index // indices of samples.jsonl, by run
}

// newServer returns a handler that serves the page and the runs in f. If local, it accepts only
// requests whose Host is a name of this machine, so that other web pages cannot read the runs by
// DNS rebinding.
func newServer(f folders, local bool) http.Handler {
	s := &server{folders: f, indices: map[string]*index{}}
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // cannot happen: the embedded folder exists
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".js") {
			w.Header().Set("Content-Type", "text/javascript; charset=utf-8") // Windows may have another type registered
		}
		http.FileServerFS(files).ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /api/runs", answer(s.runs))
	mux.HandleFunc("GET /api/lines", answer(s.lines))
	mux.HandleFunc("GET /api/samples", answer(s.samples))
	mux.HandleFunc("GET /api/texts", answer(s.texts))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local && !isLocal(r.Host) {
			http.Error(w, fmt.Sprintf("this page is not served to %q", r.Host), http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// isLocal reports whether a Host header names this machine.
func isLocal(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// answer returns a handler that writes the result of f as JSON, or its error as text with an HTTP
// status.
func answer(f func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		if err != nil {
			http.Error(w, err.Error(), status(err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v) // an error means that the client has disconnected
	}
}

// errRequest is the error for a request with invalid parameters.
var errRequest = errors.New("bad request")

func status(err error) int {
	switch {
	case errors.Is(err, errOutside), errors.Is(err, fs.ErrPermission):
		return http.StatusForbidden
	case errors.Is(err, errRequest):
		return http.StatusBadRequest
	case missing(err):
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

// runs answers /api/runs.
func (s *server) runs(*http.Request) (any, error) {
	found, notes := s.folders.runs()
	return struct {
		Runs  []runInfo `json:"runs"`
		Notes []string  `json:"notes"`
	}{found, notes}, nil
}

// lines answers /api/lines?run=&file=&offset=&mark= with the rows of a file after a place. A
// missing file has no rows.
func (s *server) lines(r *http.Request) (any, error) {
	name := r.FormValue("file")
	if name != "metrics.jsonl" && name != "alarms.jsonl" {
		return nil, fmt.Errorf("%w: file %q, want metrics.jsonl or alarms.jsonl", errRequest, name)
	}
	offset, err := number(r, "offset")
	if err != nil {
		return nil, err
	}
	f, err := s.folders.open(r.FormValue("run"), name)
	if missing(err) {
		return chunk{Reset: offset > 0, Rows: []json.RawMessage{}}, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	return readFrom(f, place{offset, r.FormValue("mark")})
}

// samples answers /api/samples?run=&step= with the completions of a step or, without step, of
// the newest step.
func (s *server) samples(r *http.Request) (any, error) {
	step, err := number(r, "step")
	if err != nil {
		return nil, err
	}
	run := r.FormValue("run")
	f, err := s.folders.open(run, "samples.jsonl")
	if missing(err) {
		return sampled{Steps: []int{}}, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.indices[run]
	if x == nil {
		x = &index{}
		s.indices[run] = x
	}
	if err := x.read(f); err != nil {
		return nil, err
	}
	return x.of(f, int(step))
}

// maxText is the maximum number of bytes of a text file that are served.
const maxText = 4 << 20

// texts answers /api/texts?run= with the preflight check and the settings of a run, or "" if a
// file is missing. The settings may be in the parent folder, as in runs of r1zero.
func (s *server) texts(r *http.Request) (any, error) {
	id := r.FormValue("run")
	preflight, err := s.text(id, "preflight.txt")
	if err != nil {
		return nil, err
	}
	config, err := s.text(id, "config.json")
	if err == nil && config == "" && strings.Contains(id, "/") {
		config, err = s.text(path.Dir(id), "config.json")
	}
	if err != nil {
		return nil, err
	}
	return map[string]string{"preflight": preflight, "config": config}, nil
}

// text returns the contents of a file of a run, or "" if the file is missing.
func (s *server) text(id, name string) (string, error) {
	f, err := s.folders.open(id, name)
	if missing(err) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxText))
	return string(text), err
}

// number returns a numeric parameter of a request, or 0 if it is missing.
func number(r *http.Request, name string) (int64, error) {
	text := r.FormValue(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%w: %s %q, want a number", errRequest, name, text)
	}
	return n, nil
}
