package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// chromium is a headless browser with one page, which the test controls by the DevTools protocol over pipes.
type chromium struct {
	t       testing.TB
	in      *os.File
	session string
	answers chan reply

	mu       sync.Mutex // guards the fields below
	next     int
	requests []string // addresses that the page requested
	faults   []string // exceptions and errors that the browser logged
}

// reply is a message from the browser: the result of a call, or an event.
type reply struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// openChromium starts the browser. If there is none, it skips the test.
func openChromium(t testing.TB) *chromium {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("skipped: pipes to Chromium need file descriptors")
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("skipped: the page is tested in Chromium (package chromium)")
	}
	theirs, in := pipe(t)
	out, theirOut := pipe(t)
	args := []string{"--headless", "--remote-debugging-pipe", "--disable-gpu", "--disable-background-networking",
		"--no-first-run", "--window-size=1400,1800", "--user-data-dir=" + t.TempDir()}
	if os.Getuid() == 0 {
		args = append(args, "--no-sandbox") // Chromium's sandbox does not work for root
	}
	c := exec.Command(path, args...)
	c.ExtraFiles = []*os.File{theirs, theirOut}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	theirOut.Close()
	b := &chromium{t: t, in: in, answers: make(chan reply, 16)}
	go b.listen(out)
	t.Cleanup(func() {
		b.session = ""
		b.call("Browser.close", nil)
		if err := c.Wait(); err != nil {
			t.Errorf("Chromium: %v", err)
		}
		in.Close()
		out.Close()
	})
	var target struct{ TargetID string }
	b.decode(b.call("Target.createTarget", map[string]any{"url": "about:blank"}), &target)
	var attached struct{ SessionID string }
	b.decode(b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}), &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Network", "Runtime", "Log", "Page"} {
		b.call(domain+".enable", nil)
	}
	return b
}

func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// listen reads messages, which end with a zero byte, until the browser exits. It sends the results of calls to
// b.answers and records requests and faults.
func (b *chromium) listen(out *os.File) {
	defer close(b.answers)
	for messages := bufio.NewReader(out); ; {
		text, err := messages.ReadBytes(0)
		if err != nil {
			return
		}
		var r reply
		if err := json.Unmarshal(text[:len(text)-1], &r); err != nil {
			return
		}
		if r.ID > 0 {
			b.answers <- r
			continue
		}
		b.mu.Lock()
		switch r.Method {
		case "Network.requestWillBeSent", "Network.webSocketCreated":
			var p struct {
				URL     string
				Request struct{ URL string }
			}
			_ = json.Unmarshal(r.Params, &p)
			b.requests = append(b.requests, p.URL+p.Request.URL)
		case "Runtime.exceptionThrown":
			b.faults = append(b.faults, string(r.Params))
		case "Log.entryAdded":
			if strings.Contains(string(r.Params), `"level":"error"`) {
				b.faults = append(b.faults, string(r.Params))
			}
		}
		b.mu.Unlock()
	}
}

// call calls a method of the protocol and returns its result.
func (b *chromium) call(method string, params map[string]any) json.RawMessage {
	b.t.Helper()
	b.next++
	message := map[string]any{"id": b.next, "method": method}
	if params != nil {
		message["params"] = params
	}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}
	select {
	case r, ok := <-b.answers:
		if !ok {
			b.t.Fatalf("%s: Chromium ended", method)
		}
		if r.ID != b.next || r.Error != nil {
			b.t.Fatalf("%s: answer %d of %d: %+v", method, r.ID, b.next, r.Error)
		}
		return r.Result
	case <-time.After(2 * time.Minute):
		b.t.Fatalf("%s: no answer", method)
	}
	return nil
}

func (b *chromium) decode(text json.RawMessage, v any) {
	b.t.Helper()
	if err := json.Unmarshal(text, v); err != nil {
		b.t.Fatalf("%v in %s", err, text)
	}
}

// visit opens an address.
func (b *chromium) visit(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url})
}

// eval returns the value of an expression on the page as JSON; it waits for promises. An exception
// is an error.
func (b *chromium) eval(expression string) (string, error) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.decode(b.call("Runtime.evaluate", map[string]any{
		"expression": expression, "returnByValue": true, "awaitPromise": true}), &r)
	if r.ExceptionDetails != nil {
		return "", errors.New(string(r.ExceptionDetails))
	}
	return string(r.Result.Value), nil
}

// wait waits until the value of an expression equals want, both as JSON.
func (b *chromium) wait(what, expression string, want any) {
	b.t.Helper()
	text, err := json.Marshal(want)
	if err != nil {
		b.t.Fatal(err)
	}
	var wanted, have any
	b.decode(text, &wanted)
	var got string
	for began := time.Now(); time.Since(began) < 2*time.Minute; time.Sleep(50 * time.Millisecond) {
		if got, err = b.eval(expression); err == nil && json.Unmarshal([]byte(got), &have) == nil &&
			reflect.DeepEqual(have, wanted) {
			return
		}
	}
	b.t.Fatalf("%s: %s is %s (%v), want %s", what, expression, got, err, text)
}

// do runs statements on the page.
func (b *chromium) do(format string, args ...any) {
	b.t.Helper()
	if _, err := b.eval("{" + fmt.Sprintf(format, args...) + "}"); err != nil {
		b.t.Fatal(err)
	}
}
